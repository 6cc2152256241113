// SPDX-License-Identifier: Apache-2.0

package portmap

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// track makes the kernel track a connection to a port.
func track(t testing.TB, protocol byte, source, destination string, port uint16) {
	t.Helper()
	family, from, to := netlink.InetFamily(unix.AF_INET), net.ParseIP(source), net.ParseIP(destination)
	if isIPv6(from) {
		family = unix.AF_INET6
	} else {
		from, to = from.To4(), to.To4()
	}
	flow := &netlink.ConntrackFlow{FamilyType: uint8(family), TimeOut: 600,
		Forward: netlink.IPTuple{SrcIP: from, DstIP: to, SrcPort: 4000, DstPort: port, Protocol: protocol},
		Reverse: netlink.IPTuple{SrcIP: to, DstIP: from, SrcPort: port, DstPort: 4000, Protocol: protocol},
	}
	if protocol == unix.IPPROTO_TCP {
		flow.ProtoInfo = &netlink.ProtoInfoTCP{State: 3}
	}
	if err := netlink.ConntrackCreate(netlink.ConntrackTable, family, flow); err != nil {
		t.Fatalf("make up a connection: %v", err)
	}
}

func tracked(t testing.TB) (all []string) {
	t.Helper()
	for _, family := range []netlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
		flows, err := netlink.ConntrackTableList(netlink.ConntrackTable, family)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range flows {
			all = append(all, fmt.Sprintf("%d %s %d", f.Forward.Protocol, f.Forward.DstIP, f.Forward.DstPort))
		}
	}
	slices.Sort(all)
	return all
}

// Only what was asked for is forgotten, with either way to do it.
func TestForget(t *testing.T) {
	plugin(t)
	for name, forget := range map[string]func(byte, []uint16) error{"at once": forget, "one by one": forgetOneByOne} {
		t.Run(name, func(t *testing.T) {
			if err := netlink.ConntrackTableFlush(netlink.ConntrackTable); err != nil {
				t.Fatal(err)
			}
			for _, port := range []uint16{53, 54, 4000} {
				track(t, unix.IPPROTO_UDP, "10.0.0.1", "10.0.0.2", port)
				track(t, unix.IPPROTO_TCP, "10.0.0.1", "10.0.0.2", port)
				track(t, unix.IPPROTO_UDP, "fd00::1", "fd00::2", port)
			}
			err := forget(unix.AF_INET, []uint16{53, 4000, 9})
			running, _, unknown := kernel.RunningVersion()
			if name == "at once" && errors.Is(err, unix.EINVAL) && unknown == nil && running.Before(kernel.Version{Major: 6, Minor: 18}) {
				t.Skip("a kernel that deletes connections by all of their tuple only; 6.18 is known to need less")
			}
			if err != nil {
				t.Fatal(err)
			}
			want := []string{"17 10.0.0.2 54", "17 fd00::2 4000", "17 fd00::2 53", "17 fd00::2 54", "6 10.0.0.2 4000", "6 10.0.0.2 53", "6 10.0.0.2 54"}
			if got := tracked(t); !slices.Equal(got, want) {
				t.Errorf("left %q, want %q", got, want)
			}
		})
	}
	if err := netlink.ConntrackTableFlush(netlink.ConntrackTable); err != nil {
		t.Error(err)
	}
}

// BenchmarkForget is for one port with so many connections to others.
func BenchmarkForget(b *testing.B) {
	plugin(b)
	for _, others := range []int{10, 20000} {
		for i := range others {
			track(b, unix.IPPROTO_UDP, fmt.Sprintf("10.1.%d.%d", i/250, i%250), "10.0.0.2", 54)
		}
		for name, forget := range map[string]func(byte, []uint16) error{"at once": forget, "one by one": forgetOneByOne} {
			b.Run(fmt.Sprintf("%s/%d", name, others), func(b *testing.B) {
				for b.Loop() {
					if err := forget(unix.AF_INET, []uint16{53}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		if err := netlink.ConntrackTableFlush(netlink.ConntrackTable); err != nil {
			b.Error(err)
		}
	}
}
