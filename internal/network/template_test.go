// SPDX-License-Identifier: Apache-2.0

package network_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/sardine-run/sardine/internal/network"
)

const confTemplate = `{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"fake","control":"CONTROL","first":"{{.PodCIDR}}",
"ranges":[{{range $i, $r := .PodCIDRRanges}}{{if $i}},{{end}}"{{$r}}"{{end}}],
"routes":[{{range $i, $r := .Routes}}{{if $i}},{{end}}"{{$r}}"{{end}}]}]}`

func TestTemplate(t *testing.T) {
	n := newNode(t, func(c *network.Config) { c.ConfTemplate = filepath.Join(filepath.Dir(c.StateDir), "template") })
	n.must(os.Remove(n.config.ConfDir))
	n.must(os.WriteFile(n.config.ConfTemplate, []byte(strings.Replace(confTemplate, "CONTROL", n.control, 1)), 0o644))
	n.must(n.SetPodCIDR(""))
	if err := n.Ready(); err == nil {
		t.Fatal("ready without a pod CIDR")
	}
	n.must(n.SetPodCIDR("fd00:1::/64, 10.1.0.0/24,10.2.0.0/24"))
	n.must(n.Ready())
	if got := names(t, n.config.ConfDir); !reflect.DeepEqual(got, []string{"10-containerd-net.conflist"}) {
		t.Fatalf("files %v", got)
	}
	path := filepath.Join(n.config.ConfDir, "10-containerd-net.conflist")
	text, err := os.ReadFile(path)
	n.must(err)
	var got struct {
		Plugins []struct {
			First          string
			Ranges, Routes []string
		}
	}
	n.must(json.Unmarshal(text, &got))
	p := got.Plugins[0]
	if p.First != "fd00:1::/64" || !reflect.DeepEqual(p.Ranges, []string{"fd00:1::/64", "10.1.0.0/24", "10.2.0.0/24"}) ||
		!reflect.DeepEqual(p.Routes, []string{"0.0.0.0/0", "::/0"}) {
		t.Errorf("filled in: %s", text)
	}
	n.must(n.SetPodCIDR("10.3.0.0/24"))
	if again, err := os.ReadFile(path); err != nil || string(again) != string(text) {
		t.Errorf("an existing network was overwritten: %s %v", again, err)
	}
}

func TestTemplateErrors(t *testing.T) {
	n := newNode(t, func(c *network.Config) { c.ConfTemplate = filepath.Join(filepath.Dir(c.StateDir), "template") })
	for _, cidr := range []string{"10.1.0.0", "10.1.0.0/33", "x", ",", "10.1.0.0/24,"} {
		if err := n.SetPodCIDR(cidr); !errdefs.IsInvalidArgument(err) {
			t.Errorf("CIDR %q: %v", cidr, err)
		}
	}
	if err := n.SetPodCIDR("10.1.0.0/24"); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("missing template: %v", err)
	}
	for _, text := range []string{"{{.Nothing}}", "{{", "no JSON"} {
		n.must(os.WriteFile(n.config.ConfTemplate, []byte(text), 0o644))
		if err := n.SetPodCIDR("10.1.0.0/24"); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), n.config.ConfTemplate) {
			t.Errorf("template %q: %v", text, err)
		}
	}
	if got := names(t, n.config.ConfDir); len(got) != 0 {
		t.Errorf("files %v", got)
	}
}

func TestPodCIDRsOutliveTheDaemon(t *testing.T) {
	n := newNode(t)
	n.must(n.SetPodCIDR("10.1.0.0/24"))
	n.restart()
	n.write("10-a.conflist", n.list("1.0.0", "blue", `,"capabilities":{"ipRanges":true}`))
	a, _ := n.setup("abc")
	if c := n.only("ADD").config(t); !equalJSON(t, c["runtimeConfig"], `{"ipRanges":[[{"subnet":"10.1.0.0/24"}]]}`) {
		t.Errorf("ADD got %v", c)
	}
	n.must(n.Teardown(t.Context(), "abc", a.NetNS))
}
