// SPDX-License-Identifier: Apache-2.0

package macvlan

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
	"github.com/sardine-run/sardine/internal/netif"
)

// usual is a configuration with an IPv4 address.
func usual() variant { return variant{options: `"master":"m1",` + mac, ipam: v4} }

func TestErrorCodes(t *testing.T) {
	s := ours(t)
	file, missing := filepath.Join(s.dir, "file"), filepath.Join(s.dir, "missing")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		verb, name  string
		options     string
		args, netns string
		want        uint
	}{
		{verb: "ADD", name: "mode", options: `"mode":"none"`, want: 7},
		{verb: "ADD", name: "MTU", options: `"master":"m1","mtu":9000`, want: 7},
		{verb: "ADD", name: "no MTU", options: `"master":"m1","mtu":"x"`, want: 6},
		{verb: "ADD", name: "MAC", options: `"master":"m1","mac":"x"`, want: 7},
		{verb: "ADD", name: "master", options: `"master":"../m1"`, want: 7},
		{verb: "ADD", name: "CNI_ARGS", options: `"master":"m1"`, args: "MAC", want: 4},
		{verb: "ADD", name: "no namespace", options: `"master":"m1"`, netns: missing, want: 999},
		{verb: "ADD", name: "file", options: `"master":"m1"`, netns: file, want: 999},
		{verb: "DEL", name: "no namespace", options: `"master":"m1"`, netns: missing},
		{verb: "DEL", name: "none", options: `"master":"m1"`, netns: "none"},
		{verb: "DEL", name: "file", options: `"master":"m1"`, netns: file, want: 999},
		{verb: "DEL", name: "mode", options: `"mode":"none"`},
		{verb: "STATUS", name: "good", options: `"master":"m1"`},
		{verb: "STATUS", name: "default route", options: `"mtu":0`},
		{verb: "STATUS", name: "master", options: `"master":"m9"`, want: 50},
		{verb: "STATUS", name: "MTU", options: `"master":"m1","mtu":9000`, want: 7},
		{verb: "STATUS", name: "mode", options: `"mode":"none"`, want: 7},
		{verb: "STATUS", name: "inside", options: `"master":"m9","linkInContainer":true`},
		{verb: "STATUS", name: "IPAM", options: `"master":"m1","ipam":{"type":"host-local","subnet":"x"}`, want: 7},
		{verb: "GC", name: "no IPAM", options: `"master":"m9"`},
	} {
		t.Run(test.verb+" "+test.name, func(t *testing.T) {
			conf := variant{options: test.options}.conf("1.1.0")
			_, err := s.do(t, test.verb, call{conf: conf, args: test.args, netns: test.netns})
			if code := plugintest.Code(err); code != test.want {
				t.Errorf("code %d: %v", code, err)
			}
		})
	}
}

// TestTakenName has an interface of the pod's name already: it stays, and nothing else does.
func TestTakenName(t *testing.T) {
	s := ours(t)
	master(t, s.Pod, "eth0", 0xa4)
	before, err := s.Pod.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.do(t, "ADD", call{conf: usual().conf("1.0.0")}); err == nil {
		t.Error("there are two")
	}
	after, err := s.Pod.LinkList()
	if err != nil || len(after) != len(before) {
		t.Errorf("%d interfaces, before %d: %v", len(after), len(before), err)
	}
	if got := s.leases(t); got != "" {
		t.Errorf("leases: %s", got)
	}
}

// TestRename makes a link as on a kernel where the name that the pod wants is taken by the host's interface.
func TestRename(t *testing.T) {
	s := ours(t)
	m1, err := s.Host.LinkByName("m1")
	if err != nil {
		t.Fatal(err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.Namespace = "eth0", m1.Attrs().Index, netlink.NsFd(s.Pod.FD())
	made, err := addAndRename(s.Host, s.Pod, netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE})
	if err != nil {
		t.Fatal(err)
	}
	found, err := s.Pod.LinkByName("eth0")
	if err != nil || found.Attrs().Index != made.Attrs().Index {
		t.Errorf("%v, %v", found, err)
	}
}

// TestCheckFindsChanges changes one thing after ADD, each time another.
func TestCheckFindsChanges(t *testing.T) {
	for name, change := range map[string]func(s side, link netlink.Link, conf string) (string, error){
		"nothing": func(_ side, _ netlink.Link, conf string) (string, error) { return conf, nil },
		"link":    func(s side, link netlink.Link, conf string) (string, error) { return conf, s.Pod.LinkDel(link) },
		"address": func(s side, link netlink.Link, conf string) (string, error) {
			a, err := netlink.ParseAddr("10.1.2.2/24")
			if err != nil {
				return "", err
			}
			return conf, s.Pod.AddrDel(link, a)
		},
		"route": func(s side, link netlink.Link, conf string) (string, error) {
			network, err := netlink.ParseIPNet("10.9.0.0/16")
			if err != nil {
				return "", err
			}
			return conf, s.Pod.RouteDel(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: network})
		},
		"mode": func(_ side, _ netlink.Link, conf string) (string, error) {
			return strings.Replace(conf, `"master"`, `"mode":"vepa","master"`, 1), nil
		},
		"mac": func(_ side, _ netlink.Link, conf string) (string, error) {
			return strings.ReplaceAll(conf, "02:11:22:33:44:55", "02:11:22:33:44:56"), nil
		},
		"sandbox": func(s side, _ netlink.Link, conf string) (string, error) {
			return strings.ReplaceAll(conf, s.Pod.Path(), "/elsewhere"), nil
		},
		"lease": func(s side, _ netlink.Link, conf string) (string, error) {
			return conf, os.Remove(filepath.Join(s.dir, "net", "10.1.2.2"))
		},
		"no result": func(_ side, _ netlink.Link, conf string) (string, error) {
			return strings.Replace(conf, "prevResult", "previous", 1), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := ours(t)
			c := call{conf: usual().conf("1.0.0")}
			result, err := s.do(t, "ADD", c)
			if err != nil {
				t.Fatal(err)
			}
			link, err := s.Pod.LinkByName("eth0")
			if err != nil {
				t.Fatal(err)
			}
			if c.conf, err = change(s, link, with(t, c.conf, result)); err != nil {
				t.Fatal(err)
			}
			if _, err := s.do(t, "CHECK", c); (err == nil) != (name == "nothing") {
				t.Errorf("CHECK: %v", err)
			}
		})
	}
}

// TestAddressIsUsableAfterADD has the kernel look for duplicates of the address, which ADD waits for.
func TestAddressIsUsableAfterADD(t *testing.T) {
	t.Parallel()
	s := ours(t)
	for _, which := range []string{"all", "default"} {
		if err := s.Pod.Do(func() error { return netif.WriteSysctl("net/ipv6/conf/"+which+"/accept_dad", "1") }); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.do(t, "ADD", call{conf: variant{options: `"master":"m1"`, ipam: v6}.conf("1.0.0")}); err != nil {
		t.Fatal(err)
	}
	link, err := s.Pod.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := s.Pod.Addresses(link.Attrs().Index, unix.AF_INET6)
	if err != nil || len(addresses) == 0 {
		t.Fatal(addresses, err)
	}
	for _, a := range addresses {
		if a.Flags&unix.IFA_F_TENTATIVE != 0 {
			t.Errorf("%s is tentative", a.Net)
		}
	}
}

// TestGC drops what belongs to a pod that is not in the list.
func TestGC(t *testing.T) {
	s := ours(t)
	for _, pod := range []string{"one", "two"} {
		if _, err := s.do(t, "ADD", call{conf: usual().conf("1.1.0"), id: pod}); err != nil {
			t.Fatal(err)
		}
		link, err := s.Pod.LinkByName("eth0")
		if err == nil {
			err = s.Pod.LinkDel(link)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	conf := strings.TrimSuffix(usual().conf("1.1.0"), "}") + `,"cni.dev/valid-attachments":[{"containerID":"two","ifname":"eth0"}]}`
	if _, err := s.do(t, "GC", call{conf: conf}); err != nil {
		t.Fatal(err)
	}
	if got := s.leases(t); strings.Contains(got, "one") || !strings.Contains(got, "two") {
		t.Errorf("leases: %s", got)
	}
}

func FuzzConfig(f *testing.F) {
	for _, v := range variants {
		f.Add(v.conf("1.0.0"), v.args)
	}
	f.Fuzz(func(t *testing.T, text, args string) {
		conf, err := parse(&cniplugin.Call{Config: []byte(text), Args: args})
		if err != nil {
			return
		}
		if len(conf.mac) != 0 && len(conf.mac) != 6 || conf.MTU < 0 || strings.ContainsAny(conf.Master, "/ \x00\n") {
			t.Errorf("%+v", conf)
		}
		if result, err := conf.Result(); err == nil && result != nil {
			_, _ = checkLink(nil, &cniplugin.Call{IfName: "eth0", NetNS: "\x00"}, conf, result) // finds no interface
		}
	})
}

// BenchmarkAdd and BenchmarkDel show that deleting the link is what takes the time, which the kernel does.
func BenchmarkAdd(b *testing.B) { benchmark(b, "ADD") }

func BenchmarkDel(b *testing.B) { benchmark(b, "DEL") }

func benchmark(b *testing.B, timed string) {
	s := ours(b)
	c := call{conf: usual().conf("1.0.0")}
	b.StopTimer()
	for i := range b.N {
		c.id = fmt.Sprint("pod", i)
		for _, verb := range []string{"ADD", "DEL"} {
			if verb == timed {
				b.StartTimer()
			}
			if _, err := s.do(b, verb, c); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
		}
	}
}
