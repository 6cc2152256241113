// SPDX-License-Identifier: Apache-2.0

package netif

import (
	"encoding/binary"
	"net"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Address is one that a link has.
type Address struct {
	Net   *net.IPNet
	Flags uint32 // IFA_F_*
}

// Addresses lists those of one link, of a family (unix.AF_INET, unix.AF_INET6; AF_UNSPEC for both). The kernel tells no others, so that
// other links cost nothing.
func (n *Namespace) Addresses(index, family int) ([]Address, error) {
	msg := nl.NewIfAddrmsg(family)
	msg.Index = uint32(index)
	messages, err := n.dump(unix.RTM_GETADDR, unix.RTM_NEWADDR, msg)
	if err != nil {
		return nil, err
	}
	var found []Address
	for _, m := range messages {
		if a, link, ok := parseAddress(m); ok && link == index && (family == unix.AF_UNSPEC || int(m[0]) == family) {
			found = append(found, a)
		}
	}
	return found, nil
}

// parseAddress reads an RTM_NEWADDR message.
func parseAddress(m []byte) (a Address, link int, ok bool) {
	if len(m) < unix.SizeofIfAddrmsg {
		return Address{}, 0, false
	}
	msg := nl.DeserializeIfAddrmsg(m)
	var local, address net.IP
	a.Flags = uint32(msg.Flags)
	for kind, value := range attributes(m[unix.SizeofIfAddrmsg:]) {
		switch kind {
		case unix.IFA_LOCAL: // of a point-to-point link, where IFA_ADDRESS is the other side
			local = value
		case unix.IFA_ADDRESS:
			address = value
		case unix.IFA_FLAGS:
			if len(value) == 4 {
				a.Flags = binary.NativeEndian.Uint32(value)
			}
		}
	}
	if local == nil {
		local = address
	}
	bits := 8 * len(local)
	if bits != 32 && bits != 128 || int(msg.Prefixlen) > bits {
		return Address{}, 0, false
	}
	a.Net = &net.IPNet{IP: local, Mask: net.CIDRMask(int(msg.Prefixlen), bits)}
	return a, int(msg.Index), true
}
