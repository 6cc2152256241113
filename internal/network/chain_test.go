// SPDX-License-Identifier: Apache-2.0

package network

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"
)

// FuzzChain compares what a plugin inside gets with what libcni would give it.
func FuzzChain(f *testing.F) {
	f.Add(`{"cniVersion":"1.0.0","name":"blue","plugins":[{"type":"a","capabilities":{"portMappings":true,"dns":false,"x\"y":true}},{"type":"b","n":1e3}]}`)
	f.Add(`{"cniVersion":"1.1.0","name":"blue","plugins":[{"type":"a","prevResult":{"a":1}}]}`)
	f.Add(`{"cniVersion":"0.4.0","name":"blue","plugins":[{"type":"a","RuntimeConfig":{},"<>":"<&>"}]}`)
	f.Add(`{"name":"blue","plugins":[{"type":"a","type":"b","capabilities":{"bandwidth":true}}]}`)
	capabilities := map[string]json.RawMessage{
		"portMappings": json.RawMessage(`[{"hostPort":80}]`), "dns": json.RawMessage(`{}`), `x"y`: json.RawMessage(`null`), "bandwidth": json.RawMessage(`{"a":"b"}`),
	}
	const previous = `{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/24"}]}`
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseList([]byte(text))
		if err != nil {
			return
		}
		c := newChain(list)
		if c == nil {
			return
		}
		for i := range c.links {
			got := c.links[i].config(capabilities, []byte(previous))
			want := injected(t, list, list.Plugins[i], capabilities, previous)
			if !sameJSON(t, got, want) {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}
	})
}

// injected is made as libcni does it.
func injected(t *testing.T, list *libcni.NetworkConfigList, p *libcni.PluginConfig, capabilities map[string]json.RawMessage, previous string) []byte {
	t.Helper()
	more := map[string]any{"name": list.Name, "cniVersion": list.CNIVersion, "prevResult": json.RawMessage(previous)}
	values := map[string]any{}
	for name, wanted := range p.Network.Capabilities {
		if value, ok := capabilities[name]; ok && wanted {
			values[name] = value
		}
	}
	if len(values) > 0 {
		more["runtimeConfig"] = values
	}
	conf, err := libcni.InjectConf(p, more)
	if err != nil {
		t.Fatal(err)
	}
	return conf.Bytes
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Fatalf("%v: %s", err, a)
	}
	if err := json.Unmarshal(b, &y); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}

// What is written is what libcni reads, and what libcni has written is read.
func TestCacheIsLibcnis(t *testing.T) {
	list, err := parseList([]byte(`{"cniVersion":"1.0.0","name":"blue","plugins":[{"type":"a"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	c := &cache{dir: t.TempDir()}
	net := &network{list: list, ifName: "eth0"}
	r := &record{ID: "abc", Args: [][2]string{{"K", "V"}}, Capabilities: map[string]json.RawMessage{"dns": json.RawMessage(`{"servers":["10.0.0.53"]}`)}}
	const result = `{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/24"}],"dns":{}}`
	if err := c.add(net, r, "/netns", []byte(result)); err != nil {
		t.Fatal(err)
	}
	reader := libcni.NewCNIConfigWithCacheDir(nil, c.dir, nil)
	found, err := reader.GetCachedAttachments("abc")
	if err != nil || len(found) != 1 {
		t.Fatalf("%d attachments: %v", len(found), err)
	}
	if a := found[0]; a.Network != "blue" || a.IfName != "eth0" || a.NetNS != "/netns" || !reflect.DeepEqual(a.CniArgs, r.Args) ||
		string(a.Config) != string(list.Bytes) || len(a.CapabilityArgs) != 1 {
		t.Errorf("attachment %+v", a)
	}
	read, err := reader.GetNetworkListCachedResult(list, r.runtimeConf("eth0", "/netns"))
	if err != nil || read == nil || read.Version() != "1.0.0" {
		t.Errorf("result %v: %v", read, err)
	}
	if text, ok := c.result(net, "abc"); !ok || !sameJSON(t, text, []byte(result)) {
		t.Errorf("result %s, %t", text, ok)
	}
	c.remove(net, "abc")
	if text, ok := c.result(net, "abc"); text != nil || !ok {
		t.Errorf("after it was removed: %s, %t", text, ok)
	}
}

// Files that somebody has damaged are left to libcni, or mean nothing.
func TestCacheIsSpoiled(t *testing.T) {
	list, err := parseList([]byte(`{"cniVersion":"1.0.0","name":"blue","plugins":[{"type":"a"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	c := &cache{dir: t.TempDir()}
	net := &network{list: list, ifName: "eth0"}
	if err := os.Mkdir(filepath.Join(c.dir, "results"), 0o700); err != nil {
		t.Fatal(err)
	}
	for text, known := range map[string]bool{
		"": false, "{": false, "null": false, `{"kind":"other"}`: false, `{"kind":"cniCacheV1"}`: false,
		`{"kind":"cniCacheV1","result":{"cniVersion":"0.4.0"}}`:                     false,
		`{"kind":"cniCacheV1","result":{"cniVersion":"1.0.0","ips":7}}`:             false,
		`{"kind":"cniCacheV1","result":{"cniVersion":"1.0.0","ips":[null]}}`:        true,
		`{"kind":"cniCacheV1","result":{"cniVersion":"1.0.0","interfaces":[null]}}`: true,
		`{"kind":"cniCacheV1","result":` + strings.Repeat("[", 20000) + `}`:         false,
	} {
		if err := os.WriteFile(c.path(net, "abc"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if result, ok := c.result(net, "abc"); result != nil || ok != known {
			t.Errorf("%.80s: %s, %t", text, result, ok)
		}
	}
}
