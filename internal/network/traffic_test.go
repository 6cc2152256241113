// SPDX-License-Identifier: Apache-2.0

package network_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sardine-run/sardine/internal/network"
	"github.com/sardine-run/sardine/internal/testnode"
)

// Addresses of the host and of the world outside of it, which has no route to pods.
const (
	nearAddress, farAddress   = "192.0.2.1", "192.0.2.2"
	nearAddress6, farAddress6 = "2001:db8::1", "2001:db8::2"
)

// newOutside makes a namespace that the host reaches by an interface.
func newOutside(t *testing.T) *namespace {
	t.Helper()
	outside := newNamespace(t)
	testnode.Run(t, "ip", "link", "add", "uplink", "type", "veth", "peer", "name", "eth0", "netns", outside.path())
	t.Cleanup(func() { testnode.Run(t, "ip", "link", "delete", "uplink") })
	up := func(device, address, address6 string) {
		testnode.Run(t, "ip", "addr", "add", address+"/24", "dev", device)
		testnode.Run(t, "ip", "addr", "add", address6+"/64", "dev", device, "nodad")
		testnode.Run(t, "ip", "link", "set", device, "up")
	}
	up("uplink", nearAddress, nearAddress6)
	outside.enter(t, func() error { up("eth0", farAddress, farAddress6); return nil })
	return outside
}

// echo answers with the client's address, until the test ends.
func (ns *namespace) echo(t *testing.T, address string) {
	t.Helper()
	ns.answer(t, address, func(client net.Addr) string {
		host, _, _ := net.SplitHostPort(client.String())
		return host
	})
}

// attach runs a pod's ADD, and DEL at the test's end.
func (n *node) attach(t *testing.T, id string, ports ...network.PortMapping) (*namespace, *network.Result) {
	t.Helper()
	ns := newNamespace(t)
	a := &network.Attachment{ID: id, Name: id, Namespace: "shop", NetNS: ns.path(), PortMappings: ports}
	r, err := n.Setup(context.Background(), a)
	n.must(err)
	t.Cleanup(func() { n.must(n.Teardown(context.Background(), id, ns.path())) })
	return ns, r
}

// Pods reach the outside, which sees the host only, and are reached from there by ports of the host.
func TestOutside(t *testing.T) { eachWay(t, reachesOutside) }

func reachesOutside(t *testing.T, way func(*network.Config)) {
	n := newBridge(t, `,"ipMasq":true`, way)
	outside := newOutside(t)
	outside.echo(t, ":7")
	pod, _ := n.attach(t, "one", network.PortMapping{Protocol: "TCP", ContainerPort: 80, HostPort: 8080},
		network.PortMapping{Protocol: "TCP", ContainerPort: 80, HostPort: 8081, HostIP: nearAddress})
	pod.serve(t, ":80", "fish")
	// The host does not answer for the bridge's address before it is sure that nobody else has it. Pods give up after three seconds.
	testnode.Eventually(t, "the bridge has its addresses", func() bool {
		return testnode.Run(t, "ip", "-6", "addr", "show", "dev", "brtest", "tentative") == ""
	})
	pod.enter(t, func() error {
		for far, near := range map[string]string{farAddress: nearAddress, farAddress6: nearAddress6} {
			if got := hear(net.JoinHostPort(far, "7")); got != near {
				t.Errorf("the pod is seen outside as %s, expected %s", got, near)
			}
		}
		return nil
	})
	outside.enter(t, func() error {
		for _, address := range []string{nearAddress + ":8080", nearAddress + ":8081", "[" + nearAddress6 + "]:8080"} {
			if got := hear(address); got != "fish" {
				t.Errorf("from outside by %s: %s", address, got)
			}
		}
		if got := hear(nearAddress + ":8082"); got == "fish" {
			t.Error("a port that was not asked for leads to the pod")
		}
		return nil
	})
}

// After DEL nobody is reached by the port any more, and the next pod with the same port and address is.
func TestPortIsFree(t *testing.T) { eachWay(t, freesPort) }

func freesPort(t *testing.T, way func(*network.Config)) {
	n := newBridge(t, "", way)
	outside := newOutside(t)
	port := network.PortMapping{Protocol: "TCP", ContainerPort: 80, HostPort: 8080}
	for i := range 3 {
		id, word := fmt.Sprintf("pod%d", i), fmt.Sprintf("fish%d", i)
		ns := newNamespace(t)
		_, err := n.Setup(context.Background(), &network.Attachment{ID: id, Name: id, Namespace: "shop", NetNS: ns.path(), PortMappings: []network.PortMapping{port}})
		n.must(err)
		ns.serve(t, ":80", word)
		hearsOutside(t, outside, word)
		n.must(n.Teardown(context.Background(), id, ns.path()))
		outside.enter(t, func() error {
			if got := hear(nearAddress + ":8080"); got == word {
				t.Errorf("%s answers although it is detached", id)
			}
			return nil
		})
	}
}

func hearsOutside(t *testing.T, outside *namespace, word string) {
	t.Helper()
	outside.enter(t, func() error {
		if got := hear(nearAddress + ":8080"); got != word {
			t.Errorf("from outside: %s, expected %s", got, word)
		}
		return nil
	})
}

// Packets as large as the configuration says pass, larger ones do not leave the pod.
func TestMTU(t *testing.T) { eachWay(t, keepsMTU) }

func keepsMTU(t *testing.T, way func(*network.Config)) {
	n := newBridge(t, `,"mtu":1400`, way)
	one, _ := n.attach(t, "one")
	two, r := n.attach(t, "two")
	var listener *net.UDPConn
	two.enter(t, func() (err error) {
		listener, err = net.ListenUDP("udp4", &net.UDPAddr{Port: 9})
		return err
	})
	defer listener.Close()
	one.enter(t, func() error {
		eth0, err := net.InterfaceByName("eth0")
		if err != nil || eth0.MTU != 1400 {
			t.Errorf("eth0: %+v, %v", eth0, err)
		}
		const headers = 28 // of IP and UDP
		if err := send(r.IP, 1400-headers); err != nil {
			t.Errorf("a packet of 1400 bytes: %v", err)
		}
		if err := send(r.IP, 1400-headers+1); !errors.Is(err, syscall.EMSGSIZE) {
			t.Errorf("a packet of 1401 bytes: %v", err)
		}
		return nil
	})
	n.must(listener.SetReadDeadline(time.Now().Add(testnode.Patience)))
	packet := make([]byte, 2000)
	if size, err := listener.Read(packet); err != nil || size != 1372 {
		t.Errorf("received %d bytes, %v", size, err)
	}
}

// send sends one packet that must not be split.
func send(ip string, size int) error {
	c, err := net.Dial("udp4", ip+":9")
	if err != nil {
		return err
	}
	defer c.Close()
	raw, err := c.(*net.UDPConn).SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_MTU_DISCOVER, syscall.IP_PMTUDISC_DO)
	})
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	_, err = c.Write(make([]byte, size))
	return err
}

// Isolated pods reach the host, and not each other.
func TestPortIsolation(t *testing.T) {
	for _, isolated := range []bool{false, true} {
		t.Run(fmt.Sprint(isolated), func(t *testing.T) {
			eachWay(t, func(t *testing.T, way func(*network.Config)) { isolates(t, isolated, way) })
		})
	}
}

func isolates(t *testing.T, isolated bool, way func(*network.Config)) {
	n := newBridge(t, fmt.Sprintf(`,"portIsolation":%t`, isolated), way)
	one, first := n.attach(t, "one")
	two, _ := n.attach(t, "two")
	one.serve(t, ":80", "fish")
	if got := hear(first.IP + ":80"); got != "fish" {
		t.Errorf("from the host: %s", got)
	}
	two.enter(t, func() error {
		for _, ip := range slices.Concat([]string{first.IP}, first.AdditionalIPs) {
			if got := reached(ip, !isolated); got == isolated {
				t.Errorf("from pod to pod by %s: %t", ip, got)
			}
		}
		return nil
	})
}

// reached tells whether port 80 answers. Where it should not, a short silence is enough.
func reached(ip string, expected bool) bool {
	patience := 300 * time.Millisecond
	if expected {
		patience = testnode.Patience
	}
	c, err := net.DialTimeout("tcp", net.JoinHostPort(ip, "80"), patience)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// A pod that gets an address somebody has just given back is reached at once, by who remembers the other's hardware address. With
// the reference's bridge that takes eight seconds: nobody is told.
func TestAddressIsUsedAgain(t *testing.T) {
	testnode.NeedRoot(t)
	n := newBridge(t, "", builtIn(t))
	n.write("10-bridge.conflist", fmt.Sprintf(`{"cniVersion":"1.1.0","name":"bridged","plugins":[{"type":"bridge","bridge":"brtest","isGateway":true,
		"ipam":{"type":"host-local","dataDir":%q,"ranges":[[{"subnet":"10.77.0.0/16","rangeStart":"10.77.0.10","rangeEnd":"10.77.0.11"}]]}}]}`, n.dir+"/addresses"))
	client, own := n.attach(t, "client")
	address := "10.77.0.11"
	if own.IP == address {
		t.Fatalf("the client has %s", own.IP)
	}
	// Who has the old pod's hardware address asks for the new one after five seconds, see arp(7). Here nobody ever asks.
	trust := func(device string) error {
		return os.WriteFile("/proc/sys/net/ipv4/neigh/"+device+"/delay_first_probe_time", []byte("3600"), 0)
	}
	client.enter(t, func() error { return trust("eth0") })
	n.must(trust("brtest"))
	for i := range 4 {
		id, word := fmt.Sprintf("pod%d", i), fmt.Sprintf("fish%d", i)
		ns := newNamespace(t)
		r, err := n.Setup(context.Background(), &network.Attachment{ID: id, Name: id, Namespace: "shop", NetNS: ns.path()})
		n.must(err)
		if r.IP != address {
			t.Fatalf("%s has %s, expected %s", id, r.IP, address)
		}
		ns.serve(t, ":80", word)
		client.enter(t, func() error {
			if got := hear(address + ":80"); got != word {
				t.Errorf("from pod to pod: %s, expected %s", got, word)
			}
			return nil
		})
		if got := hear(address + ":80"); got != word {
			t.Errorf("from the host: %s, expected %s", got, word)
		}
		n.must(n.Teardown(context.Background(), id, ns.path()))
	}
}

// A wrong configuration is an error with the code of the specification, and nothing is left.
func TestBadPluginConfiguration(t *testing.T) { eachWay(t, refuses) }

func refuses(t *testing.T, way func(*network.Config)) {
	n := newBridge(t, "", way)
	for name, bad := range map[string]string{
		"no address is free": fmt.Sprintf(`{"type":"bridge","bridge":"brtest","isGateway":true,"ipam":{"type":"host-local","dataDir":%q,
			"ranges":[[{"subnet":"10.77.0.0/16","rangeStart":"10.77.0.1","rangeEnd":"10.77.0.1"}]]}}`, n.dir+"/addresses"),
		"hairpin and promiscuous": `{"type":"bridge","bridge":"brtest","hairpinMode":true,"promiscMode":true}`,
		"MTU":                     `{"type":"bridge","bridge":"brtest","mtu":70000}`,
	} {
		n.write("10-bridge.conflist", fmt.Sprintf(`{"cniVersion":"1.0.0","name":"bridged","plugins":[%s]}`, bad))
		ns := newNamespace(t)
		_, err := n.Setup(context.Background(), &network.Attachment{ID: "one", Name: "one", Namespace: "shop", NetNS: ns.path()})
		if err == nil || !strings.Contains(err.Error(), "bridge") {
			t.Errorf("%s: %v", name, err)
		}
		if n.links() != 0 || n.rules() != "" {
			t.Errorf("%s: left: %d links, rules %s", name, n.links(), n.rules())
		}
		n.nothingLeft()
	}
}
