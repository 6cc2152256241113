// SPDX-License-Identifier: Apache-2.0

package bandwidth

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
)

// configurations are the documented ones, and some that must not work. %s is what all have.
var configurations = map[string]struct {
	config string
	fails  bool
}{
	"none":       {config: `{%s}`},
	"zero":       {config: `{"ingressRate":0,"ingressBurst":0,"egressRate":0,"egressBurst":0,%s}`},
	"documented": {config: `{"ingressRate":123000,"ingressBurst":456000,"egressRate":123000,"egressBurst":456000,%s}`},
	"ingress":    {config: `{"ingressRate":8000000,"ingressBurst":800000,%s}`},
	"egress":     {config: `{"egressRate":8000000,"egressBurst":800000,%s}`},
	"runtime":    {config: `{"runtimeConfig":{"bandwidth":{"ingressRate":1000000,"ingressBurst":2147483647,"egressRate":10000000000,"egressBurst":2147483647}},%s}`},
	"both":       {config: `{"ingressRate":8000000,"ingressBurst":800000,"runtimeConfig":{"bandwidth":{"egressRate":16,"egressBurst":16}},%s}`},
	"fast":       {config: `{"ingressRate":400000000000,"ingressBurst":34359738359,%s}`},
	"slow":       {config: `{"egressRate":8,"egressBurst":800,%s}`},
	"no burst":   {config: `{"ingressRate":8000000,%s}`, fails: true},
	"no rate":    {config: `{"egressBurst":8000000,%s}`, fails: true},
	"huge burst": {config: `{"egressRate":8000000,"egressBurst":34359738368,%s}`, fails: true},
	"negative":   {config: `{"egressRate":-1,"egressBurst":1,%s}`, fails: true},
}

const interfaces = `[{"name":"host0","mac":"02:00:00:00:00:01"},{"name":"eth0","sandbox":"pod"}]`

func call(config, interfaces string) plugintest.Call {
	common := fmt.Sprintf(`"cniVersion":"1.0.0","name":"net","type":"bandwidth","prevResult":{"cniVersion":"1.0.0",
		"interfaces":%s,"ips":[{"address":"10.1.2.3/24","interface":1}],"dns":{}}`, interfaces)
	return plugintest.Call{Type: "bandwidth", Config: fmt.Sprintf(config, common)}
}

// state is what tc and ip print of the host, without numbers that the kernel chooses.
func state(t *testing.T, pair plugintest.Pair) string {
	t.Helper()
	links, err := pair.Host.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	var text string
	for _, link := range links {
		device := link.Attrs().Name
		if device == "lo" {
			continue
		}
		text += clean(plugintest.Run(t, pair.Host, "ip", "-d", "-j", "link", "show", device))
		for _, kind := range []string{"qdisc", "class"} {
			text += clean(plugintest.Run(t, pair.Host, "tc", "-j", kind, "show", "dev", device))
		}
		for _, parent := range []string{"root", "ingress"} {
			text += clean(plugintest.Run(t, pair.Host, "tc", "-j", "filter", "show", "dev", device, parent))
		}
	}
	return text
}

func clean(text string) string {
	if strings.TrimSpace(text) == "" {
		return ""
	}
	var list []map[string]any
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return text // tc knows no JSON for classes of tbf
	}
	for _, o := range list {
		for _, k := range []string{"ifindex", "link_index", "link_netnsid", "address"} {
			delete(o, k)
		}
	}
	out, _ := json.MarshalIndent(list, "", " ")
	return string(out)
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

// settled waits until what is deleted in the background is gone.
func settled(t testing.TB, p *Plugin) {
	t.Helper()
	if err := p.reaper.await(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestLikeReference(t *testing.T) {
	for name, c := range configurations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := plugintest.NewPair(t), plugintest.NewPair(t)
			ours.Veth(t, "host0", "eth0")
			theirs.Veth(t, "host0", "eth0")
			p, before := newPlugin(t, ours), state(t, ours)
			in := call(c.config, interfaces)
			for _, verb := range []string{"ADD", "CHECK", "DEL", "DEL"} {
				want, wantErr := plugintest.Reference(t, theirs, verb, in)
				got, err := plugintest.Inside(t.Context(), p, ours, verb, in)
				if plugintest.Code(wantErr) != plugintest.Code(err) || c.fails != (err != nil) {
					t.Errorf("%s: %v, the reference says %v", verb, err, wantErr)
				}
				plugintest.Same(t, verb, hideAddress(want), hideAddress(got))
				settled(t, p)
				if a, b := state(t, theirs), state(t, ours); a != b {
					t.Errorf("after %s\nreference: %s\ninside:    %s", verb, a, b)
				}
			}
			if c.fails && state(t, ours) != before {
				t.Error("changed by a bad configuration")
			}
		})
	}
}

// hideAddress removes the hardware address of the ifb, which is random, after checking that it is one.
func hideAddress(result string) string {
	var r struct {
		Interfaces []map[string]any `json:"interfaces"`
		Rest       map[string]any   `json:"-"`
	}
	if json.Unmarshal([]byte(result), &r) != nil {
		return result
	}
	for _, i := range r.Interfaces {
		name, _ := i["name"].(string)
		mac, _ := i["mac"].(string)
		if strings.HasPrefix(name, "bwp") && len(mac) == len("02:00:00:00:00:01") {
			result = strings.ReplaceAll(result, mac, "MAC")
		}
	}
	return result
}

func TestEitherRemoves(t *testing.T) {
	in := call(configurations["documented"].config, interfaces)
	pair := plugintest.NewPair(t)
	pair.Veth(t, "host0", "eth0")
	p := newPlugin(t, pair)
	if _, err := plugintest.Reference(t, pair, "ADD", in); err != nil {
		t.Fatal(err)
	}
	if _, err := plugintest.Inside(t.Context(), p, pair, "CHECK", in); err != nil {
		t.Error(err)
	}
	in.NetNS = "none"
	if _, err := plugintest.Inside(t.Context(), p, pair, "DEL", in); err != nil {
		t.Fatal(err)
	}
	settled(t, p)
	if left := plugintest.Run(t, pair.Host, "ip", "-br", "link", "show", "type", "ifb"); left != "" {
		t.Error("left: ", left)
	}
	plugintest.Run(t, pair.Host, "tc", "qdisc", "del", "dev", "host0", "root")
	plugintest.Run(t, pair.Host, "tc", "qdisc", "del", "dev", "host0", "ingress")
	in.NetNS = ""
	if _, err := plugintest.Inside(t.Context(), p, pair, "ADD", in); err != nil {
		t.Fatal(err)
	}
	if _, err := plugintest.Reference(t, pair, "CHECK", in); err != nil {
		t.Error(err)
	}
	if _, err := plugintest.Reference(t, pair, "DEL", in); err != nil {
		t.Error(err)
	}
}

// TestFailedAddLeavesNothing has a step of ADD fail because somebody else was there first.
func TestFailedAddLeavesNothing(t *testing.T) {
	for name, obstacle := range map[string]string{
		"root":    "tc qdisc add dev host0 root handle 1: tbf rate 1mbit burst 10k limit 10k",
		"ingress": "tc qdisc add dev host0 ingress",
		"ifb":     "ip link add " + deviceName("net", "pod") + " type bridge",
	} {
		t.Run(name, func(t *testing.T) {
			pair := plugintest.NewPair(t)
			pair.Veth(t, "host0", "eth0")
			p := newPlugin(t, pair)
			plugintest.Run(t, pair.Host, "sh", "-c", obstacle)
			before := state(t, pair)
			if _, err := plugintest.Inside(t.Context(), p, pair, "ADD", call(configurations["documented"].config, interfaces)); err == nil {
				t.Fatal("ADD says nothing")
			}
			settled(t, p)
			if after := state(t, pair); after != before {
				t.Errorf("left\n%s\ninstead of\n%s", after, before)
			}
		})
	}
}

func TestForeignResults(t *testing.T) {
	for name, interfaces := range map[string]string{
		"none":        `[]`,
		"other names": `[{"name":"host1"},{"name":"eth0","sandbox":"pod"}]`,
		"in the pod":  `[{"name":"host0","sandbox":"pod"}]`,
	} {
		pair := plugintest.NewPair(t)
		pair.Veth(t, "host0", "eth0")
		in := call(configurations["documented"].config, interfaces)
		_, ours := plugintest.Inside(t.Context(), newPlugin(t, pair), pair, "ADD", in)
		_, theirs := plugintest.Reference(t, pair, "ADD", in)
		if ours == nil || plugintest.Code(ours) != plugintest.Code(theirs) {
			t.Errorf("%s: %v, the reference says %v", name, ours, theirs)
		}
	}
	pair := plugintest.NewPair(t)
	plugintest.Run(t, pair.Pod, "ip", "link", "add", "eth0", "type", "bridge")
	if _, err := plugintest.Inside(t.Context(), newPlugin(t, pair), pair, "ADD", call(configurations["documented"].config, interfaces)); err == nil {
		t.Error("an interface without a peer is limited")
	}
}

// TestDoomedAreDeletedByTheNextDaemon and a new device of the same name can be made at once.
func TestDoomedAreDeletedByTheNextDaemon(t *testing.T) {
	pair := plugintest.NewPair(t)
	name := deviceName("net", "pod")
	plugintest.Run(t, pair.Host, "ip", "link", "add", name, "type", "ifb")
	plugintest.Run(t, pair.Host, "ip", "link", "set", name, "group", fmt.Sprint(doomed))
	plugintest.Run(t, pair.Host, "ip", "link", "add", "bwpother", "type", "ifb")
	settled(t, newPlugin(t, pair))
	if left := plugintest.Run(t, pair.Host, "ip", "-br", "link", "show", "type", "ifb"); strings.Contains(left, name) || !strings.Contains(left, "bwpother") {
		t.Errorf("left: %q", left)
	}
	pair.Veth(t, "host0", "eth0")
	p, in := newPlugin(t, pair), call(configurations["egress"].config, interfaces)
	for range 5 {
		if _, err := plugintest.Inside(t.Context(), p, pair, "ADD", in); err != nil {
			t.Fatal(err)
		}
		if _, err := plugintest.Inside(t.Context(), p, pair, "DEL", in); err != nil {
			t.Fatal(err)
		}
		plugintest.Run(t, pair.Host, "tc", "qdisc", "del", "dev", "host0", "ingress")
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if left := plugintest.Run(t, pair.Host, "ip", "-br", "link", "show", "type", "ifb"); strings.Contains(left, name) {
		t.Errorf("left: %q", left)
	}
}

// TestTransfer measures that a pod really is limited, in both directions: 100 kB at 800 kbit/s, of which 20 kB are the burst.
func TestTransfer(t *testing.T) {
	pair := plugintest.NewPair(t)
	pair.Veth(t, "host0", "eth0")
	p := newPlugin(t, pair)
	plugintest.Run(t, pair.Host, "ip", "addr", "add", "10.1.2.1/24", "dev", "host0")
	plugintest.Run(t, pair.Pod, "ip", "addr", "add", "10.1.2.3/24", "dev", "eth0")
	free := transfer(t, pair.Host, pair.Pod, "10.1.2.3:0")
	for i := 0; i < 20 && free > 300*time.Millisecond; i++ { // the machine may be busy with something else
		free = min(free, transfer(t, pair.Host, pair.Pod, "10.1.2.3:0"))
	}
	in := call(`{"ingressRate":800000,"ingressBurst":160000,"egressRate":800000,"egressBurst":160000,%s}`, interfaces)
	if _, err := plugintest.Inside(t.Context(), p, pair, "ADD", in); err != nil {
		t.Fatal(err)
	}
	into, out := transfer(t, pair.Host, pair.Pod, "10.1.2.3:0"), transfer(t, pair.Pod, pair.Host, "10.1.2.1:0")
	t.Logf("unlimited %v, into the pod %v, out of it %v", free, into, out)
	for _, took := range []time.Duration{into, out} {
		if took < 600*time.Millisecond || free > 300*time.Millisecond {
			t.Errorf("80 kB above the burst at 100 kB/s took %v, unlimited %v", took, free)
		}
	}
}

// TestManyAtOnce has the devices of many pods deleted together, and one made again while they are.
func TestManyAtOnce(t *testing.T) {
	pair := plugintest.NewPair(t)
	p := newPlugin(t, pair)
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			name := deviceName("net", fmt.Sprint(i))
			for range 3 {
				if err := p.reaper.add(t.Context(), name, 1500); err != nil {
					t.Error(err)
				}
				if err := p.reaper.remove(t.Context(), name); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	wg.Wait()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if left := plugintest.Run(t, pair.Host, "ip", "-br", "link", "show", "type", "ifb"); left != "" {
		t.Errorf("left: %q", left)
	}
}
