// SPDX-License-Identifier: Apache-2.0

package netif_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/netif"
)

// open makes a namespace that ends with the test.
func open(t testing.TB) *netif.Namespace {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	var file *os.File
	var err error
	kernel.OnThread(func() {
		if err = kernel.Unshare(unix.CLONE_NEWNET, "network namespace"); err == nil {
			file, err = kernel.Open("/proc/thread-self/ns/net", unix.O_RDONLY, 0)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	ns, err := netif.Open(fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ns.Close)
	return ns
}

// pair makes a bridge with a port whose other end is in pod.
func pair(t testing.TB, host, pod *netif.Namespace) (bridge int, port netlink.Link) {
	t.Helper()
	attributes := netlink.NewLinkAttrs()
	attributes.Name = "br0"
	if err := host.LinkAdd(&netlink.Bridge{LinkAttrs: attributes}); err != nil {
		t.Fatal(err)
	}
	br, err := host.LinkByName("br0")
	if err != nil {
		t.Fatal(err)
	}
	bridge = br.Attrs().Index
	port, err = host.AddVeth(&netif.Veth{Name: netif.RandomVeth(), MAC: netif.PortMAC(), MTU: 1400,
		Peer: netif.Peer{Name: "eth0", MAC: netif.RandomMAC(), Namespace: pod}})
	if err == nil {
		err = host.SetLink(bridge, netif.Change{Up: true})
	}
	if err == nil {
		err = pod.SetLink(port.Attrs().ParentIndex, netif.Change{Up: true})
	}
	if err == nil {
		err = host.SetLink(port.Attrs().Index, netif.Change{Master: bridge, Up: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	return bridge, port
}

func TestVeth(t *testing.T) {
	host, pod := open(t), open(t)
	bridge, port := pair(t, host, pod)
	end, err := pod.WaitUp(t.Context(), port.Attrs().ParentIndex)
	if err != nil {
		t.Fatal(err)
	}
	if a := end.Attrs(); a.Name != "eth0" || a.MTU != 1400 || a.ParentIndex != port.Attrs().Index {
		t.Errorf("%+v", a)
	}
	there, err := host.LinkByName(port.Attrs().Name)
	if err != nil || there.Attrs().MasterIndex != bridge || there.Attrs().TxQLen != 0 || there.Attrs().HardwareAddr[0] != 0xfe {
		t.Errorf("%v %+v", err, there)
	}
	again := &netif.Veth{Name: port.Attrs().Name, MAC: netif.RandomMAC(), Peer: netif.Peer{Name: "eth1", MAC: netif.RandomMAC(), Namespace: pod}}
	if _, err := host.AddVeth(again); !errors.Is(err, unix.EEXIST) {
		t.Error(err)
	}
	if link, err := host.Find("nothing"); link != nil || err != nil {
		t.Error(link, err)
	}
}

func TestSilence(t *testing.T) {
	host, pod := open(t), open(t)
	_, port := pair(t, host, pod)
	index, name := port.Attrs().Index, port.Attrs().Name
	state, err := host.FindPort(name)
	if err != nil || state == nil || state.Silent {
		t.Fatalf("%v %+v", err, state)
	}
	if !state.Lockable {
		if running, release, err := kernel.RunningVersion(); err != nil || !running.Before(kernel.Version{Major: 5, Minor: 18}) {
			t.Fatalf("ports can be locked by Linux %s: %v", release, err)
		}
		t.Skip("ports cannot be locked before Linux 5.18")
	}
	if err := errors.Join(host.SetPort(index, netif.Port{Hairpin: true, Isolated: true}), host.Silence(index)); err != nil {
		t.Fatal(err)
	}
	if state, err = host.PortByIndex(index); err != nil || !state.Silent || !state.Lockable {
		t.Errorf("%v %+v", err, state)
	}
	if err := host.DropFDB(index, netif.RandomMAC()); err != nil {
		t.Error(err)
	}
	if err := host.DropNeighbour(index, net.IPv4(10, 0, 0, 1)); err != nil {
		t.Error(err)
	}
	if state, err := host.FindPort("nothing"); state != nil || err != nil {
		t.Error(state, err)
	}
	if state, err := host.PortByIndex(1 << 30); state != nil || err != nil {
		t.Error(state, err)
	}
}

func TestAddresses(t *testing.T) {
	host, pod := open(t), open(t)
	bridge, port := pair(t, host, pod)
	want := map[int]string{bridge: "10.1.0.1/16", port.Attrs().Index: "fd00::1/64"}
	for index, text := range want {
		address, err := netlink.ParseAddr(text)
		if err == nil {
			address.LinkIndex = index
			err = host.AddrAdd(nil, address)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for index, text := range want {
		found, err := host.Addresses(index, unix.AF_UNSPEC)
		if err != nil {
			t.Fatal(err)
		}
		has := false
		for _, a := range found {
			has = has || a.Net.String() == text
			if a.Net.String() == want[bridge] && index != bridge {
				t.Error("an address of another link: ", found)
			}
		}
		if !has {
			t.Errorf("%s is not among %v", text, found)
		}
	}
	if found, err := host.Addresses(port.Attrs().Index, unix.AF_INET); err != nil || len(found) != 0 {
		t.Error(err, found)
	}
}

func TestSysctls(t *testing.T) {
	var s netif.Sysctls
	const key = "net/ipv4/ip_forward"
	for i := range 200 { // more than one instance is used for
		ns := open(t)
		value := fmt.Sprint(i % 2)
		err := ns.Do(func() error { return s.Ensure(key, value) })
		if err != nil {
			t.Fatal(err)
		}
		var by, common string
		err = ns.Do(func() (err error) {
			by, err = s.Read(key)
			if err == nil {
				common, err = netif.ReadSysctl(key)
			}
			return err
		})
		if err != nil || by != value || common != value {
			t.Fatal(i, by, common, err)
		}
		if i == 150 {
			s.Close()
		}
	}
	if _, err := s.Read("net/nothing"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestReaper has a link that outlives its pod, one that has gone, and one that got its index.
func TestReaper(t *testing.T) {
	host, pod := open(t), open(t)
	_, port := pair(t, host, pod)
	index, name := port.Attrs().Index, port.Attrs().Name
	r := netif.NewReaper(host)
	defer r.Close()
	start := time.Now()
	r.Later(1<<30, "gone")
	r.Later(index, "other")
	if r.Waits(index, name) || !r.Waits(index, "other") && time.Since(start) < time.Second {
		t.Error("what waits is not what was said")
	}
	start = time.Now()
	r.Later(index, name)
	for {
		link, err := host.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		if link == nil {
			break
		}
		if time.Since(start) > time.Minute {
			t.Fatal("the link is still there")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if took := time.Since(start); took < 900*time.Millisecond {
		t.Error("deleted after ", took)
	}
}

// TestReaperClose deletes at once.
func TestReaperClose(t *testing.T) {
	host, pod := open(t), open(t)
	_, port := pair(t, host, pod)
	r := netif.NewReaper(host)
	r.Later(port.Attrs().Index, port.Attrs().Name)
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Error(err)
	}
	if link, err := host.Find(port.Attrs().Name); link != nil || err != nil {
		t.Error(link, err)
	}
}

func TestNoNamespace(t *testing.T) {
	if _, err := netif.Open(t.TempDir() + "/nothing"); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	if _, err := netif.Open("/proc/self/status"); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
}
