// SPDX-License-Identifier: Apache-2.0

package masquerade

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
	"github.com/sardine-run/sardine/internal/netif"
	"github.com/sardine-run/sardine/internal/testnode"
)

// What a pod sends outside comes from the node; what it sends into its network and to multicast does not.
func TestPackets(t *testing.T) {
	testnode.ClearRules(t)
	r := open(t)
	testnode.Run(t, "sh", "-ec", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
	outside, pod := plugintest.Connected(t, "outside", "192.0.2", 1), plugintest.Connected(t, "pod", "10.9.0", 9)
	nets := []*net.IPNet{address("10.9.0.2/24"), address("fd00:9::2/64")}
	inside := &net.IPNet{IP: nets[0].IP, Mask: net.CIDRMask(0, 32)} // everything is its network
	for _, step := range []struct {
		name     string
		nets     []*net.IPNet
		ip4, ip6 string
	}{
		{"no rules", nil, "10.9.0.2", "fd00:9::2"},
		{"masqueraded", nets, "192.0.2.1", "fd00:1::1"},
		{"inside", []*net.IPNet{inside}, "10.9.0.2", "fd00:9::2"},
		{"no rules any more", nil, "10.9.0.2", "fd00:9::2"},
	} {
		if err := r.Del(t.Context(), nil, "net", "eth0", "pod"); err != nil {
			t.Fatal(err)
		}
		if step.nets != nil {
			if err := r.Add(t.Context(), "", step.nets, "net", "eth0", "pod"); err != nil {
				t.Fatal(err)
			}
		}
		for listen, want := range map[string]string{"192.0.2.2:0": step.ip4, "[fd00:1::2]:0": step.ip6} {
			if got := seen(t, outside, pod, listen); got != want {
				t.Errorf("%s: a packet came from %s, want %s", step.name, got, want)
			}
		}
	}
}

// seen sends a datagram from one namespace into another, and returns from where it came.
func seen(t *testing.T, to, from *netif.Namespace, listen string) string {
	t.Helper()
	var server net.PacketConn
	inside := func(ns *netif.Namespace, f func() error) {
		if err := ns.Do(f); err != nil {
			t.Fatal(err)
		}
	}
	inside(to, func() (err error) { server, err = net.ListenPacket("udp", listen); return err })
	defer server.Close()
	inside(from, func() error {
		conn, err := net.Dial("udp", server.LocalAddr().String())
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write([]byte("?"))
		return err
	})
	server.SetReadDeadline(time.Now().Add(time.Minute))
	_, addr, err := server.ReadFrom(make([]byte, 1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "nowhere"
	}
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ := net.SplitHostPort(addr.String())
	return host
}
