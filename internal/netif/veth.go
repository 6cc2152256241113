// SPDX-License-Identifier: Apache-2.0

package netif

import (
	"crypto/rand"
	"encoding/hex"
	"net"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Veth describes a pair of veth devices that is made by one request: no end is ever moved, renamed or shown half made.
// Both ends are down, and not in a bridge yet.
type Veth struct {
	Name   string // of the end that is made here
	MAC    net.HardwareAddr
	MTU    int // of both; 0 for the kernel's default
	TxQLen int // of this end; -1 for the kernel's default
	Peer   Peer
}

// Peer is the other end.
type Peer struct {
	Name      string
	MAC       net.HardwareAddr
	Namespace *Namespace
}

// AddVeth makes the pair and returns the end that is here; its ParentIndex is the other's index there. An error of EEXIST
// does not tell which of the two names is taken.
func (n *Namespace) AddVeth(v *Veth) (netlink.Link, error) {
	r := n.request(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK|unix.NLM_F_ECHO)
	r.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	r.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(v.Name)))
	r.AddData(nl.NewRtAttr(unix.IFLA_ADDRESS, v.MAC))
	if v.TxQLen >= 0 {
		r.AddData(nl.NewRtAttr(unix.IFLA_TXQLEN, nl.Uint32Attr(uint32(v.TxQLen))))
	}
	if v.MTU > 0 {
		r.AddData(nl.NewRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(v.MTU))))
	}
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("veth"))
	peer := info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.VETH_INFO_PEER, nil)
	nl.NewIfInfomsgChild(peer, unix.AF_UNSPEC)
	peer.AddRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(v.Peer.Name))
	peer.AddRtAttr(unix.IFLA_ADDRESS, v.Peer.MAC)
	if v.MTU > 0 {
		peer.AddRtAttr(unix.IFLA_MTU, nl.Uint32Attr(uint32(v.MTU)))
	}
	if fd := v.Peer.Namespace.FD(); fd >= 0 {
		peer.AddRtAttr(unix.IFLA_NET_NS_FD, nl.Uint32Attr(uint32(fd)))
	}
	r.AddData(info)
	messages, err := r.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return nil, err
	}
	if len(messages) == 1 { // Linux 6.2 tells what it has made
		if link, err := netlink.LinkDeserialize(nil, messages[0]); err == nil && link.Attrs().ParentIndex > 0 {
			return link, nil
		}
	}
	return n.LinkByName(v.Name)
}

// RandomMAC returns a locally administered unicast address. One that is set, and not the kernel's choice, is
// left alone by udev.
func RandomMAC() net.HardwareAddr {
	mac := make(net.HardwareAddr, 6)
	_, _ = rand.Read(mac) // never fails
	mac[0] = mac[0]&^1 | 2
	return mac
}

// PortMAC is a RandomMAC for a bridge's port. A bridge without an address of its own takes the lowest of its ports'; this one is
// above those that the kernel chooses.
func PortMAC() net.HardwareAddr {
	mac := RandomMAC()
	mac[0] = 0xfe
	return mac
}

// RandomVeth returns a name as the reference plugins choose it.
func RandomVeth() string {
	random := make([]byte, 4)
	_, _ = rand.Read(random) // never fails
	return "veth" + hex.EncodeToString(random)
}
