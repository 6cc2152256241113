// SPDX-License-Identifier: Apache-2.0

package macvlan

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/cniplugin/hostlocal"
	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
	"github.com/sardine-run/sardine/internal/netif"
	"github.com/sardine-run/sardine/internal/testnode"
)

// side is a node with one pod, and either our plugin or the reference program on it.
type side struct {
	plugintest.Pair
	dir string
	do  func(t testing.TB, verb string, c call) (string, error)
}

// call is one invocation. DIR in conf stands for the side's directory, POD for the pod's namespace.
type call struct {
	conf, args, id, netns string
}

const masterMTU = 1400

// newSide makes a node that has the masters m0, with a default route, and m1; the pod has one called inner.
func newSide(t testing.TB) side {
	t.Helper()
	s := side{Pair: plugintest.NewPair(t), dir: t.TempDir()}
	noDAD(t, s.Host)
	noDAD(t, s.Pod)
	master(t, s.Host, "m0", 0xa0)
	master(t, s.Host, "m1", 0xa1)
	master(t, s.Host, "eth0", 0xa2) // has the name of the pod's interface
	master(t, s.Pod, "inner", 0xa3)
	m0, err := s.Host.LinkByName("m0")
	if err == nil {
		err = s.Host.RouteAdd(&netlink.Route{LinkIndex: m0.Attrs().Index, Dst: &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}})
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// noDAD makes IPv6 addresses usable at once, so that a state does not change by itself.
func noDAD(t testing.TB, ns *netif.Namespace) {
	t.Helper()
	for _, which := range []string{"all", "default"} {
		if err := ns.Do(func() error { return netif.WriteSysctl("net/ipv6/conf/"+which+"/accept_dad", "0") }); err != nil {
			t.Fatal(err)
		}
	}
}

// master makes an interface that has carrier: one end of a cable whose other end is beside it.
func master(t testing.TB, ns *netif.Namespace, name string, mac byte) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = name, masterMTU, net.HardwareAddr{2, 0, 0, 0, 1, mac}
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: name + "-far", PeerHardwareAddr: net.HardwareAddr{2, 0, 0, 0, 2, mac}}
	if err := ns.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{name, name + "-far"} {
		err := ns.Do(func() error { return netif.WriteSysctl("net/ipv6/conf/"+end+"/disable_ipv6", "1") })
		if err != nil {
			t.Fatal(err)
		}
		link, err := ns.LinkByName(end)
		if err == nil {
			err = ns.LinkSetUp(link)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	settle(t, ns, name+"-far", false)
	settle(t, ns, name, false)
}

// settle waits until the interface can send, and has an IPv6 address of its link if it is to have one: the kernel does both later.
func settle(t testing.TB, ns *netif.Namespace, name string, six bool) {
	t.Helper()
	link, err := ns.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	index := link.Attrs().Index
	testnode.Eventually(t, name+" is operational", func() bool {
		link, err := ns.LinkByIndex(index)
		if err != nil {
			t.Fatal(err)
		}
		return link.Attrs().OperState == netlink.OperUp
	})
	if !six {
		return
	}
	testnode.Eventually(t, name+" has an address of its link", func() bool {
		addresses, err := ns.Addresses(index, unix.AF_INET6)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(addresses, func(a netif.Address) bool {
			return a.Net.IP.IsLinkLocalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0
		})
	})
}

func (s side) conf(c call) string {
	return strings.NewReplacer("DIR", s.dir, "POD", s.Pod.Path()).Replace(c.conf)
}

func ours(t testing.TB) side {
	t.Helper()
	s := newSide(t)
	p := New(Config{Host: s.Host})
	t.Cleanup(func() { p.Close() })
	set := cniplugin.NewSet(map[string]cniplugin.Plugin{"macvlan": p, "host-local": hostlocal.New()}, nil)
	path, err := set.FindInPath("macvlan", nil)
	if err != nil {
		t.Fatal(err)
	}
	s.do = func(_ testing.TB, verb string, c call) (string, error) {
		netns := s.Pod.Path()
		if c.netns != "" {
			netns = strings.TrimPrefix(c.netns, "none")
		}
		environ := []string{"CNI_COMMAND=" + verb, "CNI_CONTAINERID=" + id(c), "CNI_IFNAME=eth0", "CNI_NETNS=" + netns,
			"CNI_ARGS=" + c.args, "CNI_PATH=" + plugintest.Tools()}
		out, err := set.ExecPlugin(context.Background(), path, []byte(s.conf(c)), environ)
		return string(out), err
	}
	return s
}

func theirs(t testing.TB) side {
	t.Helper()
	s := newSide(t)
	s.do = func(t testing.TB, verb string, c call) (string, error) {
		return plugintest.Reference(t, s.Pair, verb, plugintest.Call{Type: "macvlan", ContainerID: id(c), Args: c.args, NetNS: c.netns, Config: s.conf(c)})
	}
	return s
}

func id(c call) string {
	if c.id == "" {
		return "pod"
	}
	return c.id
}

// volatile is what differs between two sides that are in the same state.
var volatile = regexp.MustCompile(`\s"(ifindex|link_index|link_netnsid|valid_life_time|preferred_life_time|num_tx_queues|num_rx_queues)": ?[0-9]+,?`)

// state is what the kernel knows of the side's pod, what is in the host's interfaces, and the files of leases.
func (s side) state(t testing.TB) string {
	t.Helper()
	if link, err := s.Pod.Find("eth0"); link != nil && err == nil {
		settle(t, s.Pod, "eth0", true)
	}
	var text strings.Builder
	for _, show := range [][]string{{"-d", "link"}, {"addr"}, {"-4", "route", "show", "table", "all"}, {"-6", "route", "show", "table", "all"}} {
		text.WriteString(plugintest.Run(t, s.Pod, "ip", append([]string{"-j", "-p"}, show...)...))
	}
	text.WriteString(plugintest.Run(t, s.Host, "ip", "-j", "-p", "-d", "link"))
	for _, name := range []string{"ipv4/conf/eth0/arp_notify", "ipv6/conf/eth0/ndisc_notify", "ipv6/conf/eth0/keep_addr_on_down",
		"ipv6/conf/eth0/disable_ipv6", "ipv6/conf/lo/disable_ipv6"} {
		_ = s.Pod.Do(func() error {
			value, err := netif.ReadSysctl("net/" + name)
			fmt.Fprintln(&text, name, value, err)
			return nil
		})
	}
	text.WriteString(s.leases(t))
	return s.neutral(text.String())
}

func (s side) leases(t testing.TB) string {
	t.Helper()
	var text strings.Builder
	entries, err := filepath.Glob(s.dir + "/*/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(e)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(e) != "lock" {
			fmt.Fprintf(&text, "%s %q\n", filepath.Base(e), data)
		}
	}
	return text.String()
}

// neutral leaves out what may differ.
func (s side) neutral(text string) string {
	text = strings.ReplaceAll(text, s.Pod.Path(), "POD")
	if link, err := s.Pod.LinkByName("eth0"); err == nil { // made up by the kernel
		text = strings.ReplaceAll(text, link.Attrs().HardwareAddr.String(), "MAC")
	}
	text = regexp.MustCompile(`fe80::[0-9a-f:]+`).ReplaceAllString(text, "LL")
	return regexp.MustCompile(`\n\s*\n`).ReplaceAllString(volatile.ReplaceAllString(text, "\n"), "\n")
}

// with adds a prevResult to a configuration.
func with(t testing.TB, conf, result string) string {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(conf), &fields); err != nil {
		t.Fatal(err)
	}
	fields["prevResult"] = json.RawMessage(result)
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
