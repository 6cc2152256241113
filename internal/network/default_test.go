// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"

	"github.com/sardine-run/sardine/internal/testnode"
)

// ownNetwork skips where the routes of the machine itself would be changed.
func ownNetwork(t *testing.T) {
	t.Helper()
	testnode.NeedRoot(t)
	if !testnode.InOwnNetwork() {
		t.Fatal("these are the machine's own routes")
	}
}

// routeTo makes a host that has a route to prefix.
func routeTo(t *testing.T, prefix string) {
	t.Helper()
	link := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "elsewhere"}}
	if err := netlink.LinkAdd(link); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	t.Cleanup(func() { netlink.LinkDel(link) }) // the first of several has done it
	made, err := netlink.LinkByName("elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(made); err != nil {
		t.Fatal(err)
	}
	_, dst, err := net.ParseCIDR(prefix)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.RouteAdd(&netlink.Route{Dst: dst, LinkIndex: made.Attrs().Index, Table: 77}); err != nil {
		t.Fatal(err)
	}
}

func chosen(t *testing.T, dir string) netip.Prefix {
	t.Helper()
	ranges, err := defaultRanges(dir)
	if err != nil {
		t.Fatal(err)
	}
	return ranges[0]
}

func TestDefaultAvoidsRoutes(t *testing.T) {
	ownNetwork(t)
	if got := chosen(t, t.TempDir()); got.String() != defaultCandidates[0] {
		t.Errorf("with no routes %s is chosen, want %s", got, defaultCandidates[0])
	}
	routeTo(t, "10.186.7.0/24") // in another table, and smaller
	routeTo(t, "128.0.0.0/1")   // a default route, not a network
	if got := chosen(t, t.TempDir()); got.String() != defaultCandidates[1] {
		t.Errorf("%s is chosen, want %s", got, defaultCandidates[1])
	}
	routeTo(t, "10.0.0.0/8")
	if got := chosen(t, t.TempDir()); got.Overlaps(netip.MustParsePrefix("10.0.0.0/8")) {
		t.Errorf("%s is chosen, and there is a route to 10.0.0.0/8", got)
	}
	for _, c := range defaultCandidates[3:] {
		routeTo(t, c)
	}
	if _, err := defaultConfiguration(t.TempDir()); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "configure a network") {
		t.Errorf("with routes everywhere: %v", err)
	}
}

func TestDefaultIsRemembered(t *testing.T) {
	ownNetwork(t)
	dir := filepath.Join(t.TempDir(), "new", "cni")
	before, err := defaultRanges(dir)
	if err != nil {
		t.Fatal(err)
	}
	routeTo(t, before[0].String()) // its own, after a restart
	after, err := defaultRanges(dir)
	if err != nil || !slices.Equal(before, after) {
		t.Errorf("%v, then %v, %v", before, after, err)
	}
	if left, _ := filepath.Glob(dir + "/.*"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	ula := netip.MustParsePrefix("fd00::/8")
	if len(before) != 2 || !ula.Overlaps(before[1]) || before[1].Bits() != 64 {
		t.Errorf("ranges %v, want an IPv4 and a local IPv6 one", before)
	}
	other, err := defaultRanges(t.TempDir())
	if err != nil || other[1] == before[1] {
		t.Errorf("another node has %v too, %v", other, err)
	}
}

func TestDefaultRefusesABrokenChoice(t *testing.T) {
	for _, text := range []string{
		``, `{`, `[]`, `{"version":2,"ipv4":"10.1.0.0/16","ipv6":"fd00::/64"}`, `{"version":1,"ipv4":"10.1.0.0/16"}`,
		`{"version":1,"ipv4":"10.1.0.0/30","ipv6":"fd00::/64"}`, `{"version":1,"ipv4":"10.1.2.0/16","ipv6":"fd00::/64"}`,
		`{"version":1,"ipv4":"fd00::/64","ipv6":"10.1.0.0/16"}`, `{"version":1,"ipv4":"10.1.0.0/16","ipv6":"fd00::/64","mtu":1}`,
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, defaultChoiceFile)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := defaultConfiguration(dir)
		if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: got %v, want an error that names the file", text, err)
		}
	}
}

func TestDefaultNameservers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(path, []byte("# x\nnameserver 10.186.0.2\nnameserver ::1\nnameserver\nsearch a\nnameserver no\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := []netip.Prefix{netip.MustParsePrefix("10.186.0.2/32")}
	if got := nameservers(path); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := nameservers(path + "no"); got != nil {
		t.Errorf("without a file %v", got)
	}
}

// TestDefaultWithoutIPv6: a host that gets its routes by router advertisements keeps them.
func TestDefaultWithoutIPv6(t *testing.T) {
	ownNetwork(t)
	if _, err := os.Stat("/proc/net/if_inet6"); os.IsNotExist(err) {
		t.Skip("a kernel without IPv6: ", err)
	}
	if !hostHasIPv6() {
		t.Fatal("a host with IPv6 has none")
	}
	// Other tests forward, and leave it so to the next run in this process.
	const forwarding = "/proc/sys/net/ipv6/conf/all/forwarding"
	before, err := os.ReadFile(forwarding)
	if err == nil {
		err = os.WriteFile(forwarding, []byte("0"), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(forwarding, before, 0); err != nil {
			t.Error(err)
		}
	})
	routeTo(t, "10.99.0.0/16") // for its interface
	made, err := netlink.LinkByName("elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	_, dst, _ := net.ParseCIDR("2001:db8:1::/64")
	if err := netlink.RouteAdd(&netlink.Route{Dst: dst, LinkIndex: made.Attrs().Index, Protocol: 9}); err != nil {
		t.Fatal(err)
	}
	if hostHasIPv6() {
		t.Error("pods would take the host's routes away")
	}
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/elsewhere/accept_ra", []byte("2"), 0); err != nil {
		t.Fatal(err)
	}
	if !hostHasIPv6() {
		t.Error("no IPv6, although the host keeps its routes")
	}
}

func iptables(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("iptables", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("iptables %q: %v: %s", args, err, out)
	}
	return string(out)
}

// TestDefaultForward: on a host that drops what it does not know, as Docker sets it up.
func TestDefaultForward(t *testing.T) {
	ownNetwork(t)
	if _, err := exec.LookPath("iptables"); err != nil {
		testnode.Unavailable(t, "install iptables")
	}
	forward := func(chain string) string {
		t.Helper()
		for range 2 { // the second time changes nothing
			if err := letForward("sardine0"); err != nil {
				t.Fatal(err)
			}
		}
		return iptables(t, "-S", chain)
	}
	iptables(t, "-P", "FORWARD", "ACCEPT")
	iptables(t, "-F", "FORWARD") // what other tests have left to the next run in this process
	t.Cleanup(func() { iptables(t, "-P", "FORWARD", "ACCEPT"); iptables(t, "-F"); iptables(t, "-X") })
	if got := forward("FORWARD"); got != "-P FORWARD ACCEPT\n" {
		t.Errorf("where everything is forwarded: %s", got)
	}
	iptables(t, "-P", "FORWARD", "DROP")
	iptables(t, "-A", "FORWARD", "-i", "sardine01", "-j", "ACCEPT")
	const rules = "-A %[1]s -i sardine0 -j ACCEPT\n-A %[1]s -o sardine0 -j ACCEPT\n"
	if got, want := forward("FORWARD"), "-P FORWARD DROP\n"+fmt.Sprintf(rules, "FORWARD")+"-A FORWARD -i sardine01 -j ACCEPT\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	iptables(t, "-F", "FORWARD")
	iptables(t, "-N", "DOCKER-USER")
	iptables(t, "-A", "FORWARD", "-j", "DOCKER-USER")
	if got, want := forward("DOCKER-USER"), "-N DOCKER-USER\n"+fmt.Sprintf(rules, "DOCKER-USER"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := iptables(t, "-S", "FORWARD"); got != "-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n" {
		t.Errorf("beside Docker: %s", got)
	}
}

// FuzzDefaultChoice: whatever is accepted makes a configuration.
func FuzzDefaultChoice(f *testing.F) {
	f.Add([]byte(`{"version":1,"ipv4":"10.186.0.0/16","ipv6":"fd12:3456:789a::/64"}`))
	f.Add([]byte(`{"version":1,"ipv4":"::ffff:10.0.0.0/112","ipv6":"fd00::1/128"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseDefaultChoice(text)
		if err != nil {
			return
		}
		if c.IPv4.Overlaps(c.IPv6) || !c.IPv4.Addr().Is4() || c.IPv6.Addr().Is4() {
			t.Errorf("%q was read as %v", text, c)
		}
	})
}
