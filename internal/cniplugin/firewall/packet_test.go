// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
	"github.com/sardine-run/sardine/internal/netif"
	"github.com/sardine-run/sardine/internal/testnode"
)

// TestPackets has two pods on one bridge and a third on another, on a host that forwards nothing by itself.
func TestPackets(t *testing.T) {
	for _, c := range []struct {
		policy                  string
		sameBridge, otherBridge bool
	}{{"open", true, true}, {"same-bridge", true, false}, {"isolated", false, false}} {
		t.Run(c.policy, func(t *testing.T) {
			t.Parallel()
			pair := plugintest.NewPair(t)
			p := newPlugin(t, pair)
			plugintest.Run(t, pair.Host, "sh", "-c", `echo 1 > /proc/sys/net/ipv4/ip_forward; iptables -P FORWARD DROP
				for b in 0 1; do ip link add br$b type bridge; ip addr add 10.7.$b.1/24 dev br$b; ip link set br$b up; done
				! [ -e /proc/sys/net/bridge ] || echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables`)
			var pods []*netif.Namespace
			for i, bridge := range []int{0, 0, 1} {
				pod := plugintest.NewNamespace(t)
				address := fmt.Sprintf("10.7.%d.%d", bridge, i+10)
				plugintest.Run(t, pair.Host, "sh", "-c", fmt.Sprintf(`ip link add v%d type veth peer name e%d; ip link set v%d master br%d up; ip link set e%d netns %s`,
					i, i, i, bridge, i, pod.Path()))
				plugintest.Run(t, pod, "sh", "-c", fmt.Sprintf(`ip addr add %s/24 dev e%d; ip link set e%d up; ip route add default via 10.7.%d.1`, address, i, i, bridge))
				in := call(iptables+`"ingressPolicy":"`+c.policy+`",`, fmt.Sprintf(`[{"name":"br%d"}]`, bridge), `[{"address":"`+address+`/24"}]`)
				if _, err := plugintest.Inside(t.Context(), p, pair, "ADD", in); err != nil {
					t.Fatal(err)
				}
				pods = append(pods, pod)
			}
			routed := plugintest.Run(t, pair.Host, "sh", "-c", "ls -d /proc/sys/net/bridge 2>/dev/null || true") != ""
			if got := connects(t, pods[0], pods[1], "10.7.0.11:0", c.sameBridge); got != c.sameBridge && (routed || got != true) {
				t.Errorf("on the same bridge: %v", got)
			}
			if got := connects(t, pods[0], pods[2], "10.7.1.12:0", c.otherBridge); got != c.otherBridge {
				t.Errorf("on another bridge: %v", got)
			}
			if c.policy == "isolated" && !routed {
				t.Log("this kernel has no br_netfilter: pods of one bridge do not pass the firewall")
			}
		})
	}
}

// connects tries a TCP connection. What is dropped is only seen by that nothing comes.
func connects(t *testing.T, from, to *netif.Namespace, address string, expected bool) bool {
	t.Helper()
	var listener net.Listener
	if err := to.Do(func() (err error) { listener, err = net.Listen("tcp", address); return err }); err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dial := func(patience time.Duration) error {
		return from.Do(func() error {
			conn, err := net.DialTimeout("tcp", listener.Addr().String(), patience)
			if err == nil {
				conn.Close()
			}
			return err
		})
	}
	if !expected {
		return dial(700*time.Millisecond) == nil
	}
	// Who asks for a hardware address gives up after three seconds, and interfaces may send later than that.
	deadline := time.Now().Add(testnode.Patience)
	err := dial(testnode.Patience)
	for errors.Is(err, unix.EHOSTUNREACH) && time.Now().Before(deadline) {
		err = dial(testnode.Patience)
	}
	return err == nil
}
