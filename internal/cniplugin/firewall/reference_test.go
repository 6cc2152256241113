// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
)

const (
	both     = `[{"address":"10.0.0.2/24","interface":1},{"address":"2001:db8:1:2::1/64","interface":1}]`
	bridged  = `[{"name":"cni0"},{"name":"veth0"},{"name":"eth0","sandbox":"pod"}]`
	iptables = `"backend":"iptables",`
)

// configurations are the documented ones, and some that must not work.
var configurations = map[string]struct {
	options, interfaces, addresses string
	fails                          bool
}{
	"documented":    {iptables, bridged, both, false},
	"ipv4 only":     {iptables, bridged, `[{"address":"10.0.0.2/24"}]`, false},
	"ipv6 only":     {iptables, bridged, `[{"address":"2001:db8::7/64"}]`, false},
	"several":       {iptables, bridged, `[{"address":"10.0.0.2/24"},{"address":"10.0.1.2/24"},{"address":"10.0.0.2/24"}]`, false},
	"no address":    {iptables, bridged, `[]`, false},
	"autodetection": {``, bridged, both, false},
	"unknown":       {`"backend":"other",`, bridged, both, false},
	"admin chain":   {iptables + `"iptablesAdminChainName":"CNI-foobar",`, bridged, both, false},
	"open":          {iptables + `"ingressPolicy":"open",`, bridged, both, false},
	"same-bridge":   {iptables + `"ingressPolicy":"same-bridge",`, bridged, both, false},
	"isolated":      {iptables + `"ingressPolicy":"isolated",`, bridged, both, false},
	"no bridge":     {iptables + `"ingressPolicy":"isolated",`, `[]`, both, true},
	"bad policy":    {iptables + `"ingressPolicy":"closed",`, bridged, both, true},
	"bad chain":     {iptables + `"iptablesAdminChainName":"much too long for the name of a chain",`, bridged, both, true},
	"bad type":      {`"backend":7,`, bridged, both, true},
}

func call(options, interfaces, addresses string) plugintest.Call {
	return plugintest.Call{Type: "firewall", Config: fmt.Sprintf(`{"cniVersion":"1.0.0","name":"net","type":"firewall",%s"prevResult":{"cniVersion":"1.0.0",
		"interfaces":%s,"ips":%s,"dns":{}}}`, options, interfaces, addresses)}
}

func newPlugin(t testing.TB, pair plugintest.Pair) *Plugin {
	t.Helper()
	p := New(Config{Host: pair.Host})
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

var volatile = regexp.MustCompile(`(?m)^#.*\n|\[[0-9]+:[0-9]+\]`)

// saved is what both save programs print, without times and counters.
func saved(t testing.TB, pair plugintest.Pair) string {
	t.Helper()
	text := plugintest.Run(t, pair.Host, "sh", "-c", "iptables-save; echo; ip6tables-save")
	return volatile.ReplaceAllString(text, "")
}

var handle = regexp.MustCompile(`, "handle": [0-9]+|"packets": [0-9]+, "bytes": [0-9]+`)

func ruleset(t testing.TB, pair plugintest.Pair) string {
	t.Helper()
	// One after the other: the reference makes the tables in any order.
	text := plugintest.Run(t, pair.Host, "sh", "-c", "nft -j list ruleset ip; nft -j list ruleset ip6")
	return handle.ReplaceAllString(text, "")
}

func TestLikeReference(t *testing.T) {
	for name, c := range configurations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := plugintest.NewPair(t), plugintest.NewPair(t)
			p, in := newPlugin(t, ours), call(c.options, c.interfaces, c.addresses)
			verbs := []string{"ADD", "DEL"}
			if name == "documented" || name == "isolated" {
				verbs = []string{"ADD", "CHECK", "ADD", "DEL", "DEL"}
			}
			for _, verb := range verbs {
				if c.fails && verb != "ADD" {
					break // the reference leaves things behind
				}
				want, wantErr := plugintest.Reference(t, theirs, verb, in)
				got, err := plugintest.Inside(t.Context(), p, ours, verb, in)
				if plugintest.Code(wantErr) != plugintest.Code(err) || c.fails != (err != nil) {
					t.Errorf("%s: %v, the reference says %v", verb, err, wantErr)
				}
				plugintest.Same(t, verb, want, got)
				if c.fails {
					if left := saved(t, ours); strings.TrimSpace(left) != "" {
						t.Errorf("left: %s", left)
					}
					continue
				}
				if a, b := saved(t, theirs), saved(t, ours); a != b {
					t.Errorf("after %s\nreference: %s\ninside:    %s", verb, a, b)
				}
				plugintest.Same(t, "nft after "+verb, ruleset(t, theirs), ruleset(t, ours))
			}
		})
	}
}

// TestSeveralPods has pods of two bridges come and go, some by the reference plugin, in the same order on both sides.
func TestSeveralPods(t *testing.T) {
	ours, theirs := plugintest.NewPair(t), plugintest.NewPair(t)
	p := newPlugin(t, ours)
	pod := func(i int) plugintest.Call {
		policy := []string{"isolated", "same-bridge"}[i%2]
		return call(iptables+`"ingressPolicy":"`+policy+`",`, fmt.Sprintf(`[{"name":"cni%d"}]`, i%2),
			fmt.Sprintf(`[{"address":"10.0.%d.9/24"},{"address":"fd00::%d/64"}]`, i, i))
	}
	for step, s := range []struct {
		verb      string
		pod       int
		reference bool // also on our side
	}{
		{"ADD", 1, false}, {"ADD", 2, true}, {"ADD", 3, false}, {"ADD", 4, false}, {"DEL", 2, false}, {"CHECK", 3, false},
		{"DEL", 3, true}, {"ADD", 3, false}, {"ADD", 5, true}, {"DEL", 1, false}, {"DEL", 5, false}, {"DEL", 3, false}, {"DEL", 4, true},
	} {
		if _, err := plugintest.Reference(t, theirs, s.verb, pod(s.pod)); err != nil {
			t.Fatal(err)
		}
		var err error
		if s.reference {
			_, err = plugintest.Reference(t, ours, s.verb, pod(s.pod))
		} else {
			_, err = plugintest.Inside(t.Context(), p, ours, s.verb, pod(s.pod))
		}
		if err != nil {
			t.Fatal(err)
		}
		if a, b := saved(t, theirs), saved(t, ours); a != b {
			t.Fatalf("step %d\nreference: %s\ninside:    %s", step, a, b)
		}
	}
}

// TestSomebodyElseFlushes has the rules, the chains and the tables go behind the plugin's back.
func TestSomebodyElseFlushes(t *testing.T) {
	in := call(configurations["isolated"].options, bridged, both)
	for name, change := range map[string]string{
		"forward": "iptables -F FORWARD; ip6tables -F FORWARD",
		"chains":  "iptables -F; iptables -X; ip6tables -F; ip6tables -X",
		"others":  "nft flush ruleset; for i in 1 2 3 4 5 6 7 8 9; do iptables -N X$i; iptables -A X$i -j ACCEPT; done",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := plugintest.NewPair(t), plugintest.NewPair(t)
			p := newPlugin(t, ours)
			for _, verb := range []string{"ADD", "change", "CHECK", "ADD", "CHECK", "change", "DEL"} {
				if verb == "change" {
					plugintest.Run(t, ours.Host, "sh", "-c", change)
					plugintest.Run(t, theirs.Host, "sh", "-c", change)
					continue
				}
				_, want := plugintest.Reference(t, theirs, verb, in)
				_, err := plugintest.Inside(t.Context(), p, ours, verb, in)
				if (err == nil) != (want == nil) {
					t.Errorf("%s: %v, the reference says %v", verb, err, want)
				}
				if a, b := saved(t, theirs), saved(t, ours); verb != "CHECK" && a != b { // the reference's CHECK makes chains
					t.Errorf("after %s\nreference: %s\ninside:    %s", verb, a, b)
				}
			}
		})
	}
}

// TestDelDoesWhatItCan has a configuration that was changed for the worse since ADD.
func TestDelDoesWhatItCan(t *testing.T) {
	ours, theirs := plugintest.NewPair(t), plugintest.NewPair(t)
	p, good := newPlugin(t, ours), call(iptables, bridged, both)
	bad := call(iptables+`"iptablesAdminChainName":"two words","ingressPolicy":"closed",`, bridged, both)
	for _, s := range []struct {
		verb string
		in   plugintest.Call
	}{{"ADD", good}, {"DEL", bad}} {
		_, want := plugintest.Reference(t, theirs, s.verb, s.in)
		_, err := plugintest.Inside(t.Context(), p, ours, s.verb, s.in)
		if plugintest.Code(err) != plugintest.Code(want) {
			t.Errorf("%s: %v, the reference says %v", s.verb, err, want)
		}
	}
	if a, b := saved(t, theirs), saved(t, ours); a != b {
		t.Errorf("reference: %s\ninside:    %s", a, b)
	}
}

// TestRestart has another Plugin, with nothing remembered, delete.
func TestRestart(t *testing.T) {
	pair := plugintest.NewPair(t)
	in := call(iptables, bridged, both)
	if _, err := plugintest.Inside(t.Context(), newPlugin(t, pair), pair, "ADD", in); err != nil {
		t.Fatal(err)
	}
	in.NetNS = "none"
	for range 2 {
		if _, err := plugintest.Inside(t.Context(), newPlugin(t, pair), pair, "DEL", in); err != nil {
			t.Fatal(err)
		}
	}
	if left := saved(t, pair); strings.Contains(left, "10.0.0.2") || strings.Contains(left, "2001:") {
		t.Error("left: ", left)
	}
	in.Config = `{"cniVersion":"1.0.0","name":"net","type":"firewall","backend":"iptables"}`
	if _, err := plugintest.Inside(t.Context(), newPlugin(t, pair), pair, "DEL", in); err != nil {
		t.Error("without prevResult: ", err)
	}
	if _, err := plugintest.Inside(t.Context(), newPlugin(t, pair), pair, "ADD", call(iptables, bridged, both)); err != nil {
		t.Error("without anything remembered: ", err)
	}
}
