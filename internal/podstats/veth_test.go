// SPDX-License-Identifier: Apache-2.0

package podstats

import (
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/testnode"
)

// addVeth joins two network namespaces by a pair of interfaces, and sends something both ways.
func addVeth(t *testing.T, here *os.File, name string, there *os.File, peer string) {
	t.Helper()
	inside(t, here, func() error {
		link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: peer, PeerNamespace: netlink.NsFd(int(there.Fd()))}
		if err := netlink.LinkAdd(link); err != nil {
			return err
		}
		return up(name)
	})
	inside(t, there, func() error { return up(peer) })
	inside(t, here, func() error { return send(name) })
	inside(t, there, func() error { return send(peer) })
}

func up(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

// send puts an Ethernet frame on the link. The kernel begins to send a while after the carrier is there, and drops until then what it
// has accepted.
func send(name string) error {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	to := &unix.SockaddrLinklayer{Protocol: 0xB588, Ifindex: i.Index, Halen: 6, Addr: [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
	for deadline := time.Now().Add(testnode.Patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		err = unix.Sendto(fd, make([]byte, 100), 0, to)
		if link, errLink := netlink.LinkByIndex(i.Index); errLink == nil && link.Attrs().Statistics.TxBytes > 0 {
			return nil
		}
	}
	return errors.Join(fmt.Errorf("nothing is sent on %s", name), err)
}

func inside(t *testing.T, netns *os.File, f func() error) {
	t.Helper()
	var err error
	kernel.OnThread(func() {
		if err = kernel.Setns(int(netns.Fd()), unix.CLONE_NEWNET, "network"); err == nil {
			err = f()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestParseNetDev(t *testing.T) {
	text := []byte(`Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
eth0:18446744073709551615       2    3    4    0     0          0         0        5       6    7    8    0     0       0          0
 short: 1 2 3
`)
	want := []traffic{{"eth0", direction{18446744073709551615, 2, 3, 4}, direction{5, 6, 7, 8}}}
	if got := parseNetDev(text); len(got) != 1 || got[0] != want[0] {
		t.Errorf("%+v", got)
	}
}

func FuzzParseNetDev(f *testing.F) {
	f.Add([]byte("eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, i := range parseNetDev(text) {
			if i.name == "lo" {
				t.Error("loopback")
			}
		}
	})
}

func FuzzNextEntry(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x18\x00\x04a\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, buf []byte) {
		for len(buf) > 0 {
			_, rest := nextEntry(buf)
			if len(rest) >= len(buf) {
				t.Fatal("no progress")
			}
			buf = rest
		}
	})
}
