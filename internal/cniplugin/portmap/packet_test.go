// SPDX-License-Identifier: Apache-2.0

package portmap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
	"github.com/sardine-run/sardine/internal/netif"
	"github.com/sardine-run/sardine/internal/testnode"
)

// serve answers every connection and datagram to a port inside with the name and from where it came.
func serve(t *testing.T, ns *netif.Namespace, name string, port int) {
	t.Helper()
	var streams net.Listener
	var datagrams net.PacketConn
	err := ns.Do(func() (err error) {
		if streams, err = net.Listen("tcp", fmt.Sprintf(":%d", port)); err == nil {
			datagrams, err = net.ListenPacket("udp", fmt.Sprintf(":%d", port))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{}, 2)
	t.Cleanup(func() { streams.Close(); datagrams.Close(); <-ended; <-ended })
	answer := func(from net.Addr) []byte {
		host, _, _ := net.SplitHostPort(from.String())
		return []byte(name + " " + strings.TrimPrefix(host, "::ffff:"))
	}
	go func() {
		defer func() { ended <- struct{}{} }()
		for {
			conn, err := streams.Accept()
			if err != nil {
				return
			}
			conn.Write(answer(conn.RemoteAddr()))
			conn.Close()
		}
	}()
	go func() {
		defer func() { ended <- struct{}{} }()
		for {
			_, from, err := datagrams.ReadFrom(make([]byte, 16))
			if err != nil {
				return
			}
			datagrams.WriteTo(answer(from), from)
		}
	}()
}

// ask connects from inside a namespace, and returns what it is answered or "refused".
func ask(t *testing.T, ns *netif.Namespace, network, address string) string {
	t.Helper()
	var answer []byte
	err := ns.Do(func() error {
		conn, err := net.DialTimeout(network, address, testnode.Patience)
		if err != nil {
			return err
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(testnode.Patience))
		if _, err := conn.Write([]byte("?")); err != nil {
			return err
		}
		answer = make([]byte, 64)
		n, err := conn.Read(answer)
		answer = answer[:n]
		return err
	})
	if err != nil && !errors.Is(err, io.EOF) {
		if strings.Contains(err.Error(), "refused") {
			return "refused"
		}
		return err.Error()
	}
	return string(bytes.TrimSpace(answer))
}

func TestPackets(t *testing.T) {
	p := plugin(t)
	testnode.ClearRules(t)
	for _, name := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		if err := os.WriteFile("/proc/sys/net/"+name, []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
	}
	host := plugintest.Here(t)
	outside := plugintest.Connected(t, "outside", "192.0.2", 1)
	first, second := plugintest.Connected(t, "first", "10.88.1", 2), plugintest.Connected(t, "second", "10.88.2", 3)
	serve(t, first, "first", 80)
	serve(t, second, "second", 80)
	config := func(n, port int, snat bool) string {
		var ports []string
		for _, protocol := range []string{"tcp", "udp"} {
			ports = append(ports, fmt.Sprintf(`{"hostPort": %d, "containerPort": 80, "protocol": %q}, {"hostPort": %d, "containerPort": 80, "protocol": %q, "hostIP": "192.0.2.1"}`, port, protocol, port+1, protocol))
		}
		return configure(fmt.Sprintf(`"snat": %v`, snat), strings.Join(ports, ","),
			fmt.Sprintf(`"ips": [{"interface": 0, "address": "10.88.%d.2/24"}, {"interface": 0, "address": "fd00:%d::2/64"}]`, n, n+1))
	}
	add(t, p, "first", config(1, 8080, true))
	add(t, p, "second", config(2, 9080, true))
	expect := func(when string, from *netif.Namespace, address, want string) {
		t.Helper()
		for _, network := range []string{"tcp", "udp"} {
			if got := ask(t, from, network, address); got != want {
				t.Errorf("%s: %s of %s answers %q, want %q", when, network, address, got, want)
			}
		}
	}
	expect("from outside", outside, "192.0.2.1:8080", "first 192.0.2.2")
	expect("from outside, IPv6", outside, "[fd00:1::1]:8080", "first fd00:1::2")
	expect("from outside, by hostIP", outside, "192.0.2.1:8081", "first 192.0.2.2")
	expect("from outside, not by hostIP", outside, "10.88.1.1:8081", "refused")
	expect("from outside, the other pod", outside, "192.0.2.1:9080", "second 192.0.2.2")
	expect("from the host", host, "127.0.0.1:8080", "first 10.88.1.1")
	expect("from the host, IPv6", host, "[fd00:1::1]:8080", "first fd00:1::1")
	expect("hairpin", first, "10.88.1.1:8080", "first 10.88.1.1")
	expect("hairpin, IPv6", first, "[fd00:2::1]:8080", "first fd00:2::1")
	expect("pod to pod", second, "192.0.2.1:8080", "first 10.88.2.2")

	p = plugin(t)
	del(t, p, "first", config(1, 8080, true))
	expect("removed", outside, "192.0.2.1:8080", "refused")
	expect("removed, IPv6", outside, "[fd00:1::1]:8080", "refused")
	expect("the one that stays", outside, "192.0.2.1:9080", "second 192.0.2.2")

	// Datagrams of the same socket go to the new pod, though the kernel tracks where the old ones went.
	del(t, p, "second", config(2, 9080, true))
	add(t, p, "again", config(1, 9080, false))
	expect("the port moved, no snat", outside, "192.0.2.1:9080", "first 192.0.2.2")
}

// The kernel tracks where datagrams of a socket go; a new mapping must not wait until it forgets.
func TestStaleConnections(t *testing.T) {
	p := plugin(t)
	testnode.ClearRules(t)
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	outside, first, second := plugintest.Connected(t, "outside", "192.0.2", 1), plugintest.Connected(t, "first", "10.88.1", 2), plugintest.Connected(t, "second", "10.88.2", 3)
	serve(t, first, "first", 80)
	serve(t, second, "second", 80)
	var conn net.Conn
	if err := outside.Do(func() (err error) { conn, err = net.Dial("udp", "192.0.2.1:5353"); return err }); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for n, name := range []string{"first", "second"} {
		config := configure("", `{"hostPort": 5353, "containerPort": 80, "protocol": "UDP"}`, fmt.Sprintf(`"ips": [{"address": "10.88.%d.2/24"}]`, n+1))
		add(t, p, name, config)
		conn.SetDeadline(time.Now().Add(testnode.Patience))
		conn.Write([]byte("?"))
		answer := make([]byte, 64)
		length, err := conn.Read(answer)
		if want := name + " 192.0.2.2"; err != nil || string(answer[:length]) != want {
			t.Errorf("answer %q, %v, want %q", answer[:length], err, want)
		}
		del(t, p, name, config)
	}
}
