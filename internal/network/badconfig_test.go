// SPDX-License-Identifier: Apache-2.0

package network_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/sardine-run/sardine/internal/testnode"
)

// badConfigurations are what an administrator may get wrong. Ready says it before a pod does, and a pod gets the code.
var badConfigurations = []struct {
	name, plugins string
	code          uint   // of ADD
	says          string // both
	late          bool   // Ready may not know
}{
	{"invalid subnet", `{"type":"bridge","bridge":"brtest","ipam":{"type":"host-local","subnet":"fish"}}`, 7, "fish", false},
	{"subnet too small", `{"type":"bridge","bridge":"brtest","ipam":{"type":"host-local","subnet":"10.9.0.0/31"}}`, 7, "10.9.0.0/31", false},
	{"range outside of its subnet", `{"type":"bridge","bridge":"brtest","ipam":{"type":"host-local","subnet":"10.9.0.0/24","rangeStart":"10.8.0.1"}}`, 7, "10.8.0.1", false},
	{"ranges overlap", `{"type":"bridge","bridge":"brtest","ipam":{"type":"host-local","ranges":[[{"subnet":"10.9.0.0/24"}],[{"subnet":"10.9.0.0/16"}]]}}`, 7, "overlap", false},
	{"IPAM that does not exist", `{"type":"bridge","bridge":"brtest","ipam":{"type":"nobody"}}`, 999, "nobody", false},
	{"hairpin and promiscuous", `{"type":"bridge","bridge":"brtest","hairpinMode":true,"promiscMode":true,"ipam":{"type":"host-local","subnet":"10.9.0.0/24"}}`, 999, "hairpin", false},
	{"VLAN that is none", `{"type":"bridge","bridge":"brtest","vlan":5000,"ipam":{"type":"host-local","subnet":"10.9.0.0/24"}}`, 999, "5000", false},
	{"trunk that is none", `{"type":"bridge","bridge":"brtest","vlanTrunk":[{"minID":9,"maxID":3}],"ipam":{"type":"host-local","subnet":"10.9.0.0/24"}}`, 999, "minID", false},
	{"string as number", `{"type":"bridge","bridge":"brtest","mtu":"big","ipam":{"type":"host-local","subnet":"10.9.0.0/24"}}`, 999, "mtu", false},
	{"masquerading backend", `{"type":"bridge","bridge":"brtest","ipMasq":true,"ipMasqBackend":"magic","ipam":{"type":"host-local","subnet":"10.9.0.0/24"}}`, 999, "magic", true},
	{"bridge of bridges", `{"type":"bridge","bridge":"brtest","ipam":{"type":"bridge"}}`, 999, "bridge", false},
	{"ports' backend", `{"type":"portmap","backend":"magic","capabilities":{"portMappings":true}}`, 999, "magic", false},
	{"ports' mark", `{"type":"portmap","markMasqBit":40,"capabilities":{"portMappings":true}}`, 999, "MasqMarkBit", false},
	{"sysctl of somebody else", `{"type":"tuning","sysctl":{"kernel.hostname":"fish"}}`, 999, "kernel", true},
}

func TestBadConfigurations(t *testing.T) {
	n := newNodeWithBuiltIn(t)
	for _, bad := range badConfigurations {
		for _, version := range []string{"1.0.0", "1.1.0"} {
			t.Run(bad.name+" "+version, func(t *testing.T) {
				n.t = t
				n.write("10-a.conflist", n.withAddress(version, bad.plugins))
				if err := n.Ready(); !bad.late && (!errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), bad.says)) {
					t.Errorf("ready: %v", err)
				}
				_, err := n.Setup(context.Background(), n.attachment("abc"))
				var said *types.Error
				if !errors.As(err, &said) || said.Code != bad.code || !strings.Contains(err.Error(), bad.says) {
					t.Errorf("setup: %v %+v", err, said)
				}
				if left := append(n.records(), n.cached()...); len(left) != 0 {
					t.Errorf("left: %q", left)
				}
				testnode.Eventually(t, "links are gone", func() bool { return n.links() == 0 })
			})
		}
	}
}

// newNodeWithBuiltIn has nothing but the plugins inside, and a program that gives addresses.
func newNodeWithBuiltIn(t *testing.T) *node {
	t.Helper()
	n := newNode(t, builtIn(t))
	ownHost(t)
	return n
}

// withAddress has a meta plugin follow one that gives an address.
func (n *node) withAddress(version, plugin string) string {
	first := ""
	if !strings.Contains(plugin, `"ipam"`) && !strings.Contains(plugin, `"bridge"`) {
		first = fmt.Sprintf(`{"type":"fake","control":%q,"addresses":["10.1.0.2/16"]},`, n.control)
	}
	return fmt.Sprintf(`{"cniVersion":%q,"name":"blue","plugins":[%s%s]}`, version, first, plugin)
}

// What no plugin is asked about.
func TestUnreadableConfigurations(t *testing.T) {
	for name, bad := range map[string]struct{ text, says string }{
		"no JSON":      {`{"cniVersion":`, "10-a.conflist"},
		"no plugins":   {`{"cniVersion":"1.1.0","name":"blue","plugins":[]}`, "10-a.conflist"},
		"no name":      {`{"cniVersion":"1.1.0","plugins":[{"type":"bridge"}]}`, "10-a.conflist"},
		"bad name":     {`{"cniVersion":"1.1.0","name":"../x","plugins":[{"type":"bridge"}]}`, "10-a.conflist"},
		"no type":      {`{"cniVersion":"1.1.0","name":"blue","plugins":[{}]}`, "10-a.conflist"},
		"unknown type": {`{"cniVersion":"1.1.0","name":"blue","plugins":[{"type":"nobody"}]}`, `"nobody"`},
		"version":      {`{"cniVersion":"7.0.0","name":"blue","plugins":[{"type":"bridge"}]}`, `7.0.0`},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNodeWithBuiltIn(t)
			n.write("10-a.conflist", bad.text)
			if err := n.Ready(); !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), bad.says) {
				t.Errorf("ready: %v", err)
			}
			if _, err := n.Setup(context.Background(), n.attachment("abc")); err == nil {
				t.Error("a pod was attached")
			}
		})
	}
}
