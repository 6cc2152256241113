// SPDX-License-Identifier: Apache-2.0

package nsdial_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/nsdial"
	"github.com/sardine-run/sardine/internal/testnode"
)

// space makes a network namespace with its loopback interface up, and listens there.
func space(t *testing.T, address string) (ns *os.File, port uint16) {
	t.Helper()
	testnode.NeedRoot(t)
	var listener net.Listener
	var err error
	kernel.OnThread(func() {
		if err = kernel.Unshare(unix.CLONE_NEWNET, "network namespace"); err != nil {
			return
		}
		if ns, err = kernel.Open("/proc/thread-self/ns/net", unix.O_RDONLY, 0); err != nil {
			return
		}
		if err = kernel.SetLinkUp("lo"); err == nil {
			listener, err = net.Listen("tcp", address)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close(); ns.Close() })
	return ns, uint16(listener.Addr().(*net.TCPAddr).Port)
}

func loopback(port uint16) []netip.AddrPort { return nsdial.WithPort(nsdial.Loopback(), port) }

func TestTCP(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		ns, port := space(t, address)
		own, err := os.Readlink("/proc/thread-self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		conn, err := nsdial.TCP(t.Context(), ns, net.Dialer{}, loopback(port)...)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := conn.RemoteAddr().(*net.TCPAddr).Port, int(port); got != want {
			t.Errorf("connected with port %d, want %d", got, want)
		}
		conn.Close()
		if _, err := nsdial.TCP(t.Context(), nil, net.Dialer{}, loopback(port)...); !errors.Is(err, unix.ECONNREFUSED) || strings.Count(err.Error(), "refused") != 2 {
			t.Errorf("from the own namespace: %v", err)
		}
		if after, err := os.Readlink("/proc/thread-self/ns/net"); err != nil || after != own {
			t.Errorf("the own namespace was %s and is %s, %v", own, after, err)
		}
	}
	if _, err := nsdial.TCP(t.Context(), nil, net.Dialer{}); err == nil {
		t.Error("connected with no address")
	}
}

// TestTCPThreads: each connection's thread ends with it, also one whose time is over.
func TestTCPThreads(t *testing.T) {
	ns, port := space(t, "127.0.0.1:0")
	for range 20 { // the runtime's own
		if conn, err := nsdial.TCP(t.Context(), ns, net.Dialer{}, loopback(port)...); err == nil {
			conn.Close()
		}
	}
	before := threads(t)
	for range 200 {
		conn, err := nsdial.TCP(t.Context(), ns, net.Dialer{}, loopback(port)...)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := nsdial.TCP(ctx, ns, net.Dialer{}, loopback(port)...); err == nil {
			t.Fatal("connected after the time was over")
		}
	}
	after := 0
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if after = threads(t); after <= before+3 {
			return
		}
	}
	t.Errorf("%d threads, before %d", after, before)
}

func threads(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
