// SPDX-License-Identifier: Apache-2.0

package nsdial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// Loopback returns what localhost means, IPv4 first, as the kubelet's other runtimes have it.
func Loopback() []netip.Addr {
	return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
}

// WithPort returns addrs, each with port.
func WithPort(addrs []netip.Addr, port uint16) []netip.AddrPort {
	list := make([]netip.AddrPort, len(addrs))
	for i, a := range addrs {
		list[i] = netip.AddrPortFrom(a, port)
	}
	return list
}

// TCP connects with the first of addresses that accepts, one after the other, in the network namespace ns; nil is the
// caller's own. A socket stays in the namespace in which it was made, whoever uses it.
func TCP(ctx context.Context, ns *os.File, dialer net.Dialer, addresses ...netip.AddrPort) (conn *net.TCPConn, err error) {
	if ns == nil {
		return connect(ctx, dialer, addresses)
	}
	kernel.OnThread(func() {
		if err = kernel.Setns(int(ns.Fd()), unix.CLONE_NEWNET, "network namespace"); err == nil {
			conn, err = connect(ctx, dialer, addresses)
		}
	})
	return conn, err
}

// connect has numbers for addresses, and one at a time: then the net package makes the sockets on the
// calling thread, in whose network namespace they belong for good.
func connect(ctx context.Context, dialer net.Dialer, addresses []netip.AddrPort) (*net.TCPConn, error) {
	failed := errors.New("no address to connect with")
	for i, a := range addresses {
		conn, err := dialer.DialContext(ctx, "tcp", a.String())
		if err == nil {
			return conn.(*net.TCPConn), nil
		}
		if i == 0 {
			failed = err
		} else {
			failed = fmt.Errorf("%w, %w", failed, err)
		}
	}
	return nil, failed
}
