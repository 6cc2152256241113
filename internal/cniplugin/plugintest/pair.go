// SPDX-License-Identifier: Apache-2.0

package plugintest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/netif"
	"github.com/sardine-run/sardine/internal/testnode"
)

// Pair is a host and a pod.
type Pair struct {
	Host, Pod *netif.Namespace
}

// NewPair makes two network namespaces, which end with the test.
func NewPair(t testing.TB) Pair {
	t.Helper()
	return Pair{Host: NewNamespace(t), Pod: NewNamespace(t)}
}

// NewNamespace makes a network namespace in which lo is up. Its path is valid for child processes.
func NewNamespace(t testing.TB) *netif.Namespace {
	t.Helper()
	testnode.NeedRoot(t)
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
	ns, err := netif.Open(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ns.Close)
	lo, err := ns.LinkByName("lo")
	if err == nil {
		err = ns.LinkSetUp(lo)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

// Veth makes a veth pair between host and pod, up, with the same hardware addresses in every Pair. Both ends have noticed that they are
// up: the kernel sees to that a little later, and what is shown of them must not change by itself.
func (p Pair) Veth(t testing.TB, host, pod string) {
	t.Helper()
	veth := &netlink.Veth{
		LinkAttrs:        netlink.LinkAttrs{Name: host, TxQLen: -1, HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}},
		PeerName:         pod,
		PeerHardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 2},
		PeerNamespace:    netlink.NsFd(p.Pod.FD()),
	}
	if err := p.Host.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	ends := map[string]*netif.Namespace{host: p.Host, pod: p.Pod}
	for name, ns := range ends {
		link, err := ns.LinkByName(name)
		if err == nil {
			err = ns.LinkSetUp(link)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, ns := range ends {
		testnode.Eventually(t, name+" is operational", func() bool {
			link, err := ns.LinkByName(name)
			if err != nil {
				t.Fatal(err)
			}
			return link.Attrs().OperState == netlink.OperUp
		})
	}
}

// Run runs a program inside ns and returns what it printed. The test skips when there is no such program.
func Run(t testing.TB, ns *netif.Namespace, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		testnode.Unavailable(t, "run make deps: "+err.Error())
	}
	out, err := command(ns, exec.Command(name, args...))
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// command runs cmd inside ns; its output is standard output and error.
func command(ns *netif.Namespace, cmd *exec.Cmd) (out []byte, err error) {
	failed := ns.Do(func() error {
		out, err = cmd.CombinedOutput()
		return nil
	})
	if failed != nil {
		return nil, failed
	}
	return out, err
}
