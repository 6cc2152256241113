// SPDX-License-Identifier: Apache-2.0

package macvlan

import (
	"strings"
	"testing"

	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
)

// variant is a configuration. The state of the node is compared after ADD and after DEL.
type variant struct {
	name, options, ipam, args string
	fails                     bool
}

const (
	mac  = `"mac":"02:11:22:33:44:55"`
	v4   = `{"type":"host-local","dataDir":"DIR","subnet":"10.1.2.0/24","routes":[{"dst":"0.0.0.0/0"},{"dst":"10.9.0.0/16","gw":"10.1.2.9","priority":7}]}`
	v6   = `{"type":"host-local","dataDir":"DIR","subnet":"2001:db8::/64","routes":[{"dst":"::/0"},{"dst":"2001:db8:9::/48","gw":"2001:db8::9"}]}`
	both = `{"type":"host-local","dataDir":"DIR","ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"2001:db8::/64"}]],"routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"},
		{"dst":"10.7.0.0/16","table":77,"scope":0}],"resolvConf":"/dev/null"}`
)

var variants = []variant{
	{name: "layer 2", options: `"master":"m1",` + mac},
	{name: "IPv4", options: `"master":"m1",` + mac, ipam: v4},
	{name: "IPv6", options: `"master":"m1",` + mac, ipam: v6},
	{name: "both", options: `"master":"m1",` + mac, ipam: both},
	{name: "address of the kernel's", options: `"master":"m1"`, ipam: v4},
	{name: "default route's master", options: mac, ipam: v4},
	{name: "bridge", options: `"master":"m1","mode":"bridge",` + mac},
	{name: "private", options: `"master":"m1","mode":"private",` + mac},
	{name: "vepa", options: `"master":"m1","mode":"vepa",` + mac},
	{name: "passthru", options: `"master":"m1","mode":"passthru"`},
	{name: "unknown mode", options: `"master":"m1","mode":"source"`, fails: true},
	{name: "MTU", options: `"master":"m1","mtu":1300,` + mac},
	{name: "the master's MTU", options: `"master":"m1","mtu":1400,` + mac},
	{name: "MTU too large", options: `"master":"m1","mtu":1401`, ipam: v4, fails: true},
	{name: "MTU negative", options: `"master":"m1","mtu":-1`, ipam: v4, fails: true},
	{name: "queue", options: `"master":"m1","bcqueuelen":77,` + mac},
	{name: "no master", options: `"master":"m9"`, ipam: v4, fails: true},
	{name: "inside", options: `"master":"inner","linkInContainer":true,` + mac, ipam: v4},
	{name: "inside without one", options: `"master":"m1","linkInContainer":true`, ipam: v4, fails: true},
	{name: "inside without a default route", options: `"linkInContainer":true`, ipam: v4, fails: true},
	{name: "MAC in CNI_ARGS", options: `"master":"m1",` + mac, args: "IgnoreUnknown=1;MAC=02:11:22:33:44:66"},
	{name: "MAC of the runtime", options: `"master":"m1","runtimeConfig":{"mac":"02:11:22:33:44:77"},` + mac, args: "MAC=02:11:22:33:44:66"},
	{name: "no MAC", options: `"master":"m1","mac":"hello"`, ipam: v4, fails: true},
	{name: "MAC of a group", options: `"master":"m1","mac":"03:11:22:33:44:55"`, ipam: v4, fails: true},
	{name: "long MAC", options: `"master":"m1","mac":"02:00:5e:10:00:00:00:01"`, ipam: v4, fails: true},
	{name: "unknown CNI_ARGS", options: `"master":"m1"`, args: "FOO=1", fails: true},
	{name: "dns", options: `"master":"m1","dns":{"nameservers":["10.1.0.1"],"search":["a"]},` + mac, ipam: v4},
	{name: "no range", options: `"master":"m1"`, ipam: `{"type":"host-local","dataDir":"DIR","ranges":[]}`, fails: true},
	{name: "route that nobody can set", options: `"master":"m1"`, fails: true,
		ipam: `{"type":"host-local","dataDir":"DIR","subnet":"10.1.2.0/24","routes":[{"dst":"10.9.0.0/16","gw":"192.168.77.1"}]}`},
}

func (v variant) conf(version string) string {
	text := `{"cniVersion":"` + version + `","name":"net","type":"macvlan",` + v.options
	if v.ipam != "" {
		text += `,"ipam":` + v.ipam
	}
	return text + "}"
}

func TestLikeTheReference(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			compare(t, v, "1.0.0")
		})
	}
}

func TestVersionsLikeTheReference(t *testing.T) {
	for _, version := range []string{"0.3.0", "0.3.1", "0.4.0", "1.1.0"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			compare(t, variant{options: `"master":"m1",` + mac, ipam: v4}, version)
		})
	}
}

func compare(t *testing.T, v variant, version string) {
	ours, theirs := ours(t), theirs(t)
	before := ours.state(t)
	c := call{conf: v.conf(version), args: v.args}
	want, wantErr := theirs.do(t, "ADD", c)
	got, gotErr := ours.do(t, "ADD", c)
	if (gotErr != nil) != v.fails || (wantErr != nil) != v.fails {
		t.Fatalf("ADD: %v, the reference: %v", gotErr, wantErr)
	}
	plugintest.Same(t, "result", theirs.neutral(want), ours.neutral(got))
	if v.fails {
		same(t, "state after a failed ADD", withoutOrder(before), withoutOrder(ours.state(t)))
		return
	}
	same(t, "state after ADD", theirs.state(t), ours.state(t))
	again := call{conf: with(t, c.conf, got), args: v.args}
	if version != "0.3.0" && version != "0.3.1" {
		if _, err := ours.do(t, "CHECK", again); err != nil {
			t.Errorf("CHECK: %v", err)
		}
	}
	for range 2 {
		if _, err := ours.do(t, "DEL", again); err != nil {
			t.Errorf("DEL: %v", err)
		}
	}
	if _, err := theirs.do(t, "DEL", again); err != nil {
		t.Errorf("the reference's DEL: %v", err)
	}
	same(t, "state after DEL", theirs.state(t), ours.state(t))
}

// withoutOrder leaves out which address was given last.
func withoutOrder(state string) string {
	var kept []string
	for line := range strings.Lines(state) {
		if !strings.HasPrefix(line, "last_reserved_ip") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// same shows from where on two states differ.
func same(t *testing.T, what, want, got string) {
	t.Helper()
	wanted, found := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(wanted), len(found)) {
		if i >= len(wanted) || i >= len(found) || wanted[i] != found[i] {
			t.Errorf("%s: want\n%s\ngot\n%s", what, strings.Join(wanted[min(i, len(wanted)):min(i+12, len(wanted))], "\n"),
				strings.Join(found[min(i, len(found)):min(i+12, len(found))], "\n"))
			return
		}
	}
}
