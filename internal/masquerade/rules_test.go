// SPDX-License-Identifier: Apache-2.0

package masquerade

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
	"github.com/sardine-run/sardine/internal/nft"
	"github.com/sardine-run/sardine/internal/testnode"
)

// Both leave the same rules, of which either deletes the other's.
func TestSameAsReference(t *testing.T) {
	for _, backend := range []string{"nftables", "iptables"} {
		for network, test := range map[string]struct{ subnets, addresses []string }{
			"both":                   {[]string{"10.7.0.0/16", "fd00:7::/64"}, []string{"10.7.0.2/16", "fd00:7::2/64"}},
			"odd":                    {[]string{"10.7.0.0/21", "fd00:7::/61"}, []string{"10.7.0.2/21", "fd00:7::2/61"}},
			strings.Repeat("n", 120): {[]string{"10.7.0.0/24"}, []string{"10.7.0.2/24"}},
		} {
			t.Run(backend+" "+network[:3], func(t *testing.T) {
				testnode.ClearRules(t)
				r, pair, dir := open(t), plugintest.Pair{Host: plugintest.Here(t), Pod: plugintest.NewNamespace(t)}, t.TempDir()
				defer exec.Command("ip", "link", "del", "cni0").Run()
				var nets []*net.IPNet
				for _, a := range test.addresses {
					nets = append(nets, address(a))
				}
				reference(t, pair, "ADD", dir, backend, network, "pod", test.subnets...)
				want := testnode.Rules(t)
				if err := r.Del(t.Context(), nets, network, "eth0", "pod"); err != nil {
					t.Fatal(err)
				}
				empty := testnode.Rules(t)
				if strings.Contains(empty, "pod") || strings.Contains(empty, "CNI-") {
					t.Errorf("left behind\n%s", empty)
				}
				testnode.ClearRules(t)
				for range 2 { // the second time nothing changes
					if err := r.Add(t.Context(), backend, nets, network, "eth0", "pod"); err != nil {
						t.Fatal(err)
					}
					if got := testnode.Rules(t); got != want {
						t.Errorf("got\n%s\nwant\n%s", got, want)
					}
				}
				reference(t, pair, "DEL", dir, backend, network, "pod", test.subnets...)
				if got := testnode.Rules(t); got != empty {
					t.Errorf("after the reference plugin's DEL\n%s\nand after ours\n%s", got, empty)
				}
			})
		}
	}
}

func TestDefaultIsNFTables(t *testing.T) {
	testnode.ClearRules(t)
	t.Setenv("PATH", t.TempDir()) // no program can be started
	r := open(t)
	for i := range 3 {
		id := fmt.Sprintf("pod%d", i)
		if err := r.Add(t.Context(), "", []*net.IPNet{address("10.0.0.2/24")}, "net", "eth0", id); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := open(t).Del(t.Context(), nil, "net", "eth0", id); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestNoNFTables(t *testing.T) {
	testnode.ClearRules(t)
	r, nets := New(nft.None()), []*net.IPNet{address("10.0.0.2/24")}
	if err := r.Add(t.Context(), "nftables", nets, "net", "eth0", "pod"); !errors.Is(err, nft.ErrUnsupported) {
		t.Errorf("error %v", err)
	}
	if err := r.Add(t.Context(), "", nets, "net", "eth0", "pod"); err != nil {
		t.Fatal(err)
	}
	if got := testnode.Rules(t); !strings.Contains(got, "-A POSTROUTING -s 10.0.0.2/32") {
		t.Errorf("rules\n%s", got)
	}
	if err := errors.Join(r.Del(t.Context(), nets, "net", "eth0", "pod"), r.GC(t.Context(), "net", nil)); err != nil {
		t.Error(err)
	}
}

func TestOwnAttachmentOnly(t *testing.T) {
	testnode.ClearRules(t)
	r := open(t)
	type attachment struct{ network, ifName, id string }
	all := []attachment{{"net", "eth0", "a"}, {"net", "eth1", "a"}, {"net", "eth0", "b"}, {"net2", "eth0", "a"}}
	for _, a := range all {
		if err := r.Add(t.Context(), "", []*net.IPNet{address("10.0.0.2/24"), address("fd00::2/64")}, a.network, a.ifName, a.id); err != nil {
			t.Fatal(err)
		}
	}
	for i, a := range all {
		if got, want := strings.Count(testnode.Rules(t), "masquerade comment"), 2*(len(all)-i); got != want {
			t.Errorf("%d rules, want %d", got, want)
		}
		if err := r.Del(t.Context(), nil, a.network, a.ifName, a.id); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(testnode.Rules(t), fmt.Sprintf("net: %s, if: %s, id: %s\"", a.network, a.ifName, a.id)) {
			t.Errorf("%v is left", a)
		}
	}
}

func TestGC(t *testing.T) {
	testnode.ClearRules(t)
	r := open(t)
	var valid []types.GCAttachment
	for i := range 700 { // more than one transaction collects
		id := fmt.Sprintf("pod%d", i)
		for _, network := range []string{"net", "other"} {
			if err := r.Add(t.Context(), "", []*net.IPNet{address("10.0.0.2/24")}, network, "eth0", id); err != nil {
				t.Fatal(err)
			}
		}
		if i%100 == 0 {
			valid = append(valid, types.GCAttachment{ContainerID: id, IfName: "eth0"})
		}
	}
	valid = append(valid, types.GCAttachment{ContainerID: "pod1", IfName: "eth7"})
	if err := open(t).GC(t.Context(), "net", valid); err != nil {
		t.Fatal(err)
	}
	all := testnode.Rules(t)
	if n := strings.Count(all, "net: net,"); n != 7 {
		t.Errorf("%d rules of the network, want 7", n)
	}
	if n := strings.Count(all, "net: other,"); n != 700 {
		t.Errorf("%d rules of the other network, want 700", n)
	}
}

func TestRefused(t *testing.T) {
	r := open(t)
	testnode.ClearRules(t)
	if err := r.Add(t.Context(), "ipfw", nil, "net", "eth0", "pod"); err == nil || err.Error() != `unknown ipmasq backend "ipfw"` {
		t.Errorf("error %v", err)
	}
	for _, bad := range []*net.IPNet{nil, {}, {IP: net.IPv4(10, 0, 0, 1)}, {IP: net.IPv4(10, 0, 0, 1), Mask: net.CIDRMask(64, 128)},
		{IP: net.ParseIP("fd00::1"), Mask: net.CIDRMask(24, 32)}, {IP: net.IPv4(10, 0, 0, 1), Mask: net.IPMask{255, 0, 255, 0}}, {IP: []byte{1}, Mask: net.CIDRMask(8, 32)}} {
		if err := r.Add(t.Context(), "", []*net.IPNet{address("10.0.0.1/8"), bad}, "net", "eth0", "pod"); err == nil {
			t.Errorf("no error for %v", bad)
		}
	}
	if got := testnode.Rules(t); strings.Contains(got, "masquerade") {
		t.Errorf("left behind\n%s", got)
	}
	// All of the address is the network, and none of it.
	for _, odd := range []string{"10.0.0.1/32", "10.0.0.1/0", "fd00::1/128", "fd00::1/0"} {
		if err := r.Add(t.Context(), "", []*net.IPNet{address(odd)}, "net", "eth0", "pod"); err != nil {
			t.Errorf("%s: %v", odd, err)
		}
	}
}

func TestConcurrent(t *testing.T) {
	testnode.ClearRules(t)
	r := open(t)
	var wait sync.WaitGroup
	for i := range 200 {
		wait.Go(func() {
			id := fmt.Sprintf("pod%d", i)
			err := r.Add(t.Context(), "", []*net.IPNet{address("10.0.0.2/24")}, "net", "eth0", id)
			if i%2 == 0 {
				err = errors.Join(err, r.Del(t.Context(), nil, "net", "eth0", id))
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if n := strings.Count(testnode.Rules(t), "masquerade comment"); n != 100 {
		t.Errorf("%d rules, want 100", n)
	}
}
