// SPDX-License-Identifier: Apache-2.0

package macspoof

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
	"github.com/sardine-run/sardine/internal/netif"
	"github.com/sardine-run/sardine/internal/nft"
	"github.com/sardine-run/sardine/internal/testnode"
)

func newFilter(t testing.TB) *Filter {
	t.Helper()
	testnode.NeedRoot(t)
	tables, err := nft.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tables.Close() })
	return New(tables)
}

var handle = regexp.MustCompile(`, "handle": [0-9]+`)

// ruleset is what nft prints, without handles.
func ruleset(t testing.TB, ns *netif.Namespace) string {
	t.Helper()
	return handle.ReplaceAllString(plugintest.Run(t, ns, "nft", "-j", "list", "ruleset"), "")
}

// reference runs the reference bridge plugin with macspoofchk in a pair of namespaces.
func reference(t *testing.T, pair plugintest.Pair, verb, containerID string) (ifName, mac string) {
	t.Helper()
	out, err := plugintest.Reference(t, pair, verb, plugintest.Call{Type: "bridge", ContainerID: containerID,
		Config: `{"cniVersion":"1.0.0","name":"net","type":"bridge","bridge":"br0","macspoofchk":true,"ipam":{}}`})
	if err != nil {
		t.Fatalf("reference %s: %v", verb, err)
	}
	var result struct{ Interfaces []struct{ Name, Mac string } }
	if verb == "ADD" {
		if err := json.Unmarshal([]byte(out), &result); err != nil || len(result.Interfaces) != 3 {
			t.Fatalf("%v: %s", err, out)
		}
		return result.Interfaces[1].Name, result.Interfaces[2].Mac
	}
	return "", ""
}

func TestSameRulesAsReference(t *testing.T) {
	testnode.ClearRules(t)
	f, pair := newFilter(t), plugintest.NewPair(t)
	long := strings.Repeat("0123456789abcdef", 4)
	for _, id := range []string{"one", long} {
		pod := plugintest.Pair{Host: pair.Host, Pod: plugintest.NewNamespace(t)}
		ifName, mac := reference(t, pod, "ADD", id)
		for range 2 { // the second time changes nothing
			if err := f.Add(t.Context(), ifName, mac, id+"-eth0"); err != nil {
				t.Fatal(err)
			}
			plugintest.Same(t, "rules", ruleset(t, pair.Host), ruleset(t, plugintest.Here(t)))
		}
		if id == "one" {
			defer func() {
				reference(t, pod, "DEL", "one")
				for range 2 {
					if err := f.Del(t.Context(), "", "", "one-eth0"); err != nil {
						t.Error(err)
					}
					plugintest.Same(t, "rules that are left", ruleset(t, pair.Host), ruleset(t, plugintest.Here(t)))
				}
			}()
		}
	}
}

// TestRemovesReferencesRules loads what nft(8) prints of the reference's rules, which is what it has made.
func TestRemovesReferencesRules(t *testing.T) {
	testnode.ClearRules(t)
	f, pair := newFilter(t), plugintest.NewPair(t)
	reference(t, pair, "ADD", "one")
	text := plugintest.Run(t, pair.Host, "nft", "list", "ruleset")
	file := filepath.Join(t.TempDir(), "rules")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	plugintest.Run(t, plugintest.Here(t), "nft", "-f", file)
	if err := f.Del(t.Context(), "", "", "one-eth0"); err != nil {
		t.Fatal(err)
	}
	if left := plugintest.Run(t, plugintest.Here(t), "nft", "list", "ruleset"); strings.Contains(left, "one-eth0") || !strings.Contains(left, prerouting) {
		t.Error("left: ", left)
	}
}

// TestReferenceRemoves has the reference plugin delete what Add has made, with the names it will look for.
func TestReferenceRemoves(t *testing.T) {
	testnode.ClearRules(t)
	f := newFilter(t)
	pair := plugintest.Pair{Host: plugintest.Here(t), Pod: plugintest.NewNamespace(t)}
	if err := f.Add(t.Context(), "veth9", "02:00:00:00:00:09", "two-eth0"); err != nil {
		t.Fatal(err)
	}
	reference(t, pair, "DEL", "two")
	if left := plugintest.Run(t, plugintest.Here(t), "nft", "list", "ruleset"); strings.Contains(left, "two-eth0") {
		t.Error("left: ", left)
	}
	if err := f.Add(t.Context(), "veth9", "02:00:00:00:00:09", "two-eth0"); err != nil {
		t.Error("after somebody else's change: ", err)
	}
}

// TestForgedAddressIsDropped has two pods on a bridge, one of which takes another address.
func TestForgedAddressIsDropped(t *testing.T) {
	testnode.ClearRules(t)
	f, host := newFilter(t), plugintest.Here(t)
	plugintest.Run(t, host, "ip", "link", "add", "br9", "type", "bridge")
	defer exec.Command("ip", "link", "del", "br9").Run()
	plugintest.Run(t, host, "ip", "link", "set", "br9", "up")
	var pods []*netif.Namespace
	for i := range 2 {
		pair := plugintest.Pair{Host: host, Pod: plugintest.NewNamespace(t)}
		name := fmt.Sprintf("port%d", i)
		plugintest.Run(t, host, "ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(os.Getpid()))
		plugintest.Run(t, host, "ip", "link", "set", "eth0", "address", mac(i), "netns", pair.Pod.Path())
		plugintest.Run(t, host, "ip", "link", "set", name, "master", "br9", "up")
		plugintest.Run(t, pair.Pod, "ip", "addr", "add", fmt.Sprintf("10.9.9.%d/24", i+1), "dev", "eth0")
		plugintest.Run(t, pair.Pod, "ip", "link", "set", "eth0", "up")
		pods = append(pods, pair.Pod)
	}
	// Neighbours are written down, so that it is not ARP that fails.
	plugintest.Run(t, pods[0], "ip", "neigh", "replace", "10.9.9.2", "lladdr", mac(1), "dev", "eth0")
	if err := f.Add(t.Context(), "port0", mac(0), "pod-eth0"); err != nil {
		t.Fatal(err)
	}
	if !arrives(t, pods[0], pods[1], time.Minute) {
		t.Error("an honest pod is not heard")
	}
	plugintest.Run(t, pods[0], "ip", "link", "set", "eth0", "address", "02:66:66:66:66:66")
	plugintest.Run(t, pods[0], "ip", "neigh", "replace", "10.9.9.2", "lladdr", mac(1), "dev", "eth0")
	if arrives(t, pods[0], pods[1], 200*time.Millisecond) {
		t.Error("a forged address is heard")
	}
	if err := f.Del(t.Context(), "port0", mac(0), "pod-eth0"); err != nil {
		t.Fatal(err)
	}
	if !arrives(t, pods[0], pods[1], time.Minute) {
		t.Error("the filter is still there")
	}
}

func mac(i int) string { return fmt.Sprintf("02:00:00:00:09:%02d", i+1) }

// arrives sends datagrams until one is received or the time is over.
func arrives(t *testing.T, from, to *netif.Namespace, within time.Duration) bool {
	t.Helper()
	var in net.PacketConn
	if err := to.Do(func() (err error) { in, err = net.ListenPacket("udp", "10.9.9.2:99"); return err }); err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var out net.Conn
	if err := from.Do(func() (err error) { out, err = net.Dial("udp", "10.9.9.2:99"); return err }); err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	end := time.Now().Add(within)
	for buffer := make([]byte, 16); time.Now().Before(end); {
		out.Write([]byte("hello"))
		in.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if n, _, err := in.ReadFrom(buffer); err == nil && n > 0 {
			return true
		}
	}
	return false
}

func TestHostileNames(t *testing.T) {
	testnode.ClearRules(t)
	f := newFilter(t)
	for _, c := range [][3]string{
		{"", "02:00:00:00:00:01", "a"}, {"sixteencharacter", "02:00:00:00:00:01", "a"}, {"a\x00b", "02:00:00:00:00:01", "a"},
		{"veth0", "", "a"}, {"veth0", "02:00:00:00:00:00:00:01", "a"}, {"veth0", "nonsense", "a"}, {"veth0", "02:00:00:00:00:01", ""},
	} {
		if err := f.Add(t.Context(), c[0], c[1], c[2]); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", c, err)
		}
	}
	for _, id := range []string{strings.Repeat("x", 300), "a\"b", "a\nb", "a\x00b"} {
		if err := f.Add(t.Context(), "veth0", "02:00:00:00:00:01", id); err == nil {
			t.Errorf("%q is accepted", id)
		}
	}
	if left := plugintest.Run(t, plugintest.Here(t), "nft", "list", "ruleset"); left != "" {
		t.Error("left: ", left)
	}
}

// BenchmarkFilter is Add and Del beside a thousand other interfaces.
func BenchmarkFilter(b *testing.B) {
	for _, others := range []int{0, 1000} {
		b.Run(fmt.Sprint(others), func(b *testing.B) {
			testnode.ClearRules(b)
			f := newFilter(b)
			for i := range others {
				if err := f.Add(b.Context(), "veth", "02:00:00:00:00:01", fmt.Sprintf("%064d-eth0", i)); err != nil {
					b.Fatal(err)
				}
			}
			id := strings.Repeat("f", 64) + "-eth0"
			for b.Loop() {
				if err := f.Add(b.Context(), "veth", "02:00:00:00:00:01", id); err != nil {
					b.Fatal(err)
				}
				if err := f.Del(b.Context(), "veth", "02:00:00:00:00:01", id); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
