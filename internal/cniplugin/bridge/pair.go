// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"net"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/netif"
)

// pair is a veth pair between the host and a pod.
type pair struct {
	ifName    string // the pod's end
	mtu       int
	mac       net.HardwareAddr // of the pod's end
	namespace *netif.Namespace // of the pod

	host    netlink.Link
	hostMAC net.HardwareAddr
	pod     netlink.Link // index and name
}

// makePair makes the pair, both ends down.
func (p *Plugin) makePair(pair *pair) error {
	pair.hostMAC = netif.PortMAC()
	cleared := false
	for range 10 {
		name := netif.RandomVeth()
		link, err := p.host.AddVeth(&netif.Veth{Name: name, MAC: pair.hostMAC, MTU: pair.mtu, TxQLen: 0,
			Peer: netif.Peer{Name: pair.ifName, MAC: pair.mac, Namespace: pair.namespace}})
		if err == nil {
			pair.host = link
			attributes := netlink.NewLinkAttrs()
			attributes.Name, attributes.Index = pair.ifName, link.Attrs().ParentIndex
			pair.pod = &netlink.Device{LinkAttrs: attributes}
			p.leaveIPv6(name)
			return nil
		}
		if !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("failed to make veth pair: %w", err)
		}
		if there, err := p.host.Find(name); err != nil || there != nil {
			continue // the random name is taken
		}
		if cleared || !p.clear(pair) {
			return fmt.Errorf("container veth name (%q) peer provided (%q) already exists", pair.ifName, name)
		}
		cleared = true
	}
	return errors.New("failed to find a unique veth name")
}

// clear deletes what a DEL has left to the kernel of an earlier attachment with the same name, whose namespace lives on.
func (p *Plugin) clear(pair *pair) bool {
	if pair.namespace == p.host {
		return false
	}
	deleted := false
	_ = pair.namespace.Do(func() error {
		link, err := pair.namespace.LinkByName(pair.ifName)
		if err != nil || link.Type() != "veth" || link.Attrs().ParentIndex <= 0 {
			return err
		}
		port, err := p.host.PortByIndex(link.Attrs().ParentIndex)
		if err != nil || port == nil || !port.Silent || port.Link.Attrs().ParentIndex != link.Attrs().Index {
			return err
		}
		deleted = pair.namespace.LinkDel(link) == nil
		return nil
	})
	return deleted
}

// derivable tells whether the pod's hardware address can be made of its IP address: the plugin type ipam gives addresses
// without using the interface.
func derivable(ipam string) bool { return ipam == "host-local" || ipam == "static" }

// derive makes a hardware address of an IP address. 0a:58 is what older versions of the reference plugin had in front.
func derive(ips []*types100.IPConfig) net.HardwareAddr {
	mac := net.HardwareAddr{0x0a, 0x58, 0, 0, 0, 0}
	for _, ip := range ips {
		if v4 := ip.Address.IP.To4(); v4 != nil {
			copy(mac[2:], v4)
			return mac
		}
	}
	h := fnv.New32a()
	_, _ = h.Write(ips[0].Address.IP) // never fails
	binary.BigEndian.PutUint32(mac[2:], h.Sum32())
	return mac
}

// announce makes the pod's end tell its neighbours who has its addresses now.
func (pair *pair) announce() error {
	return pair.namespace.SetLink(pair.pod.Attrs().Index, netif.Change{MAC: pair.mac})
}
