// SPDX-License-Identifier: Apache-2.0

package loopback_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/cniplugin/loopback"
	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
	"github.com/sardine-run/sardine/internal/testnode"
)

func TestMain(m *testing.M) { testnode.OwnNetwork(m) }

// both calls the plugin and the reference program with the same namespace and compares what they say.
func both(t *testing.T, pair plugintest.Pair, verb string, c plugintest.Call) (string, error) {
	t.Helper()
	c.Type = "loopback"
	want, failed := plugintest.Reference(t, pair, verb, c)
	got, err := plugintest.Inside(t.Context(), loopback.New(), pair, verb, c)
	if plugintest.Code(err) != plugintest.Code(failed) {
		t.Errorf("%s: %v, the reference: %v", verb, err, failed)
	}
	plugintest.Same(t, verb, want, got)
	return got, err
}

// up reports whether lo is.
func up(t *testing.T, pair plugintest.Pair) bool {
	t.Helper()
	lo, err := pair.Pod.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	return lo.Attrs().RawFlags&unix.IFF_UP != 0
}

func TestAsTheReference(t *testing.T) {
	testnode.NeedRoot(t)
	for _, version := range []string{"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"} {
		t.Run(version, func(t *testing.T) {
			pair := plugintest.NewPair(t)
			conf := fmt.Sprintf(`{"cniVersion":%q,"name":"lo","type":"loopback"}`, version)
			if _, err := both(t, pair, "DEL", plugintest.Call{Config: conf}); err != nil || up(t, pair) {
				t.Errorf("before: %v, up: %t", err, up(t, pair))
			}
			both(t, pair, "CHECK", plugintest.Call{Config: conf}) // is down
			out, err := plugintest.Inside(t.Context(), loopback.New(), pair, "ADD", plugintest.Call{Type: "loopback", Config: conf})
			if err != nil || !up(t, pair) {
				t.Fatalf("ADD: %s, %v, up: %t", out, err, up(t, pair))
			}
			both(t, pair, "ADD", plugintest.Call{Config: conf})
			both(t, pair, "CHECK", plugintest.Call{Config: conf})
			both(t, pair, "STATUS", plugintest.Call{Config: conf})
			both(t, pair, "GC", plugintest.Call{Config: conf})
			if err := detach(t, pair, conf); err != nil || up(t, pair) {
				t.Errorf("DEL: %v, up: %t", err, up(t, pair))
			}
			both(t, pair, "DEL", plugintest.Call{Config: conf, NetNS: "none"})
			both(t, pair, "DEL", plugintest.Call{Config: conf, NetNS: "/missing"})
			both(t, pair, "ADD", plugintest.Call{Config: conf, NetNS: "/missing"})
			both(t, pair, "CHECK", plugintest.Call{Config: conf, NetNS: "/missing"})
		})
	}
}

func detach(t *testing.T, pair plugintest.Pair, conf string) error {
	_, err := plugintest.Inside(t.Context(), loopback.New(), pair, "DEL", plugintest.Call{Type: "loopback", Config: conf})
	return err
}

func TestPrevResult(t *testing.T) {
	testnode.NeedRoot(t)
	pair := plugintest.NewPair(t)
	for _, previous := range []string{
		`{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"/n"}],"ips":[{"address":"10.0.0.2/24","interface":0}]}`,
		`{"ips":[{"address":"10.0.0.2/24"}]}`,
		`{}`, `null`, `[]`, `7`, `{"ips":7}`, `{"cniVersion":"0.1.0"}`,
	} {
		t.Run(previous, func(t *testing.T) {
			conf := fmt.Sprintf(`{"cniVersion":"1.0.0","name":"net","type":"loopback","prevResult":%s}`, previous)
			both(t, pair, "ADD", plugintest.Call{Config: conf})
		})
	}
}

// An address that is none of lo's own is refused, several of a family are not listed.
func TestOtherAddresses(t *testing.T) {
	testnode.NeedRoot(t)
	pair := plugintest.NewPair(t)
	conf := `{"cniVersion":"1.0.0","name":"net","type":"loopback"}`
	for _, cidr := range []string{"127.0.0.2/32", "::2/128", "10.0.0.1/32"} {
		lo, err := pair.Pod.LinkByName("lo")
		if err != nil {
			t.Fatal(err)
		}
		ip, ipNet, err := net.ParseCIDR(cidr)
		if err != nil {
			t.Fatal(err)
		}
		if err := pair.Pod.AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: ipNet.Mask}, Flags: unix.IFA_F_NODAD}); err != nil {
			t.Fatal(err)
		}
		both(t, pair, "ADD", plugintest.Call{Config: conf})
	}
}

func BenchmarkAdd(b *testing.B) {
	testnode.NeedRoot(b)
	pair := plugintest.NewPair(b)
	c := plugintest.Call{Type: "loopback", Config: `{"cniVersion":"1.0.0","name":"net","type":"loopback"}`}
	for b.Loop() {
		if _, err := plugintest.Inside(b.Context(), loopback.New(), pair, "ADD", c); err != nil {
			b.Fatal(err)
		}
	}
}
