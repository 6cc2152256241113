// SPDX-License-Identifier: Apache-2.0

package tuning

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// attributes of an interface; the zero value of a field means that it is left alone. The JSON is the reference plugin's.
type attributes struct {
	Mac      string `json:"mac,omitempty"`
	Promisc  *bool  `json:"promisc,omitempty"`
	Mtu      int    `json:"mtu,omitempty"` // bytes
	Allmulti *bool  `json:"allmulti,omitempty"`
	TxQLen   *int   `json:"txQLen,omitempty"` // packets
}

func (a attributes) any() bool { return a != attributes{} }

// before returns the link's values of those attributes that a is about.
func (a attributes) before(link netlink.Link) attributes {
	now, b := link.Attrs(), attributes{}
	if a.Mac != "" {
		b.Mac = now.HardwareAddr.String()
	}
	if a.Promisc != nil {
		on := now.Promisc != 0
		b.Promisc = &on
	}
	if a.Mtu != 0 {
		b.Mtu = now.MTU
	}
	if a.Allmulti != nil {
		on := allmulti(link)
		b.Allmulti = &on
	}
	if a.TxQLen != nil {
		length := now.TxQLen
		b.TxQLen = &length
	}
	return b
}

func allmulti(link netlink.Link) bool { return link.Attrs().RawFlags&unix.IFF_ALLMULTI != 0 }

// apply sets all of a, whatever goes wrong, and returns the errors.
func (a attributes) apply(h *netlink.Handle, link netlink.Link) error {
	var errs []error
	try := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("set %s of %q: %w", what, link.Attrs().Name, err))
		}
	}
	if a.Mac != "" {
		try("hardware address", setHardwareAddr(h, link, a.Mac))
	}
	if a.Promisc != nil {
		try("promiscuous mode", either(*a.Promisc, h.SetPromiscOn, h.SetPromiscOff)(link))
	}
	if a.Mtu != 0 {
		try("MTU", h.LinkSetMTU(link, a.Mtu))
	}
	if a.Allmulti != nil {
		try("all-multicast mode", either(*a.Allmulti, h.LinkSetAllmulticastOn, h.LinkSetAllmulticastOff)(link))
	}
	if a.TxQLen != nil {
		try("transmit queue length", h.LinkSetTxQLen(link, *a.TxQLen))
	}
	return errors.Join(errs...)
}

func either(on bool, yes, no func(netlink.Link) error) func(netlink.Link) error {
	if on {
		return yes
	}
	return no
}

func setHardwareAddr(h *netlink.Handle, link netlink.Link, text string) error {
	addr, err := net.ParseMAC(text)
	if err != nil {
		return fmt.Errorf("invalid args %v for MAC addr: %w", text, err)
	}
	return h.LinkSetHardwareAddr(link, addr)
}

// check is nil when the link has the attributes. Promiscuous mode that nobody asked for is an error too.
func (a attributes) check(link netlink.Link) error {
	now, name := link.Attrs(), link.Attrs().Name
	if a.Mac != "" && a.Mac != now.HardwareAddr.String() {
		return fmt.Errorf("tuning: hardware address of %s is %s, configured is %s", name, now.HardwareAddr, a.Mac)
	}
	if promisc := a.Promisc != nil && *a.Promisc; promisc != (now.Promisc != 0) {
		return fmt.Errorf("tuning: promiscuous mode of %s is %d, configured is %v", name, now.Promisc, promisc)
	}
	if a.Mtu != 0 && a.Mtu != now.MTU {
		return fmt.Errorf("tuning: MTU of %s is %d, configured is %d", name, now.MTU, a.Mtu)
	}
	if a.Allmulti != nil && *a.Allmulti != allmulti(link) {
		return fmt.Errorf("tuning: all-multicast mode of %s is %v, configured is %v", name, allmulti(link), *a.Allmulti)
	}
	if a.TxQLen != nil && *a.TxQLen != now.TxQLen {
		return fmt.Errorf("tuning: transmit queue length of %s is %d, configured is %d", name, now.TxQLen, *a.TxQLen)
	}
	return nil
}
