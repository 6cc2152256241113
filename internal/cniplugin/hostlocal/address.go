// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"bytes"
	"math/bits"
	"net"
	"net/netip"
)

// address is an IP address; an IPv4 one is mapped into IPv6. It has an order and, unlike netip.Addr, no pointer.
type address [16]byte

// parseAddress takes what is the name of a lease's file: an address as net.IP writes it, no other spelling of it.
func parseAddress(name string) (address, bool) {
	ip, err := netip.ParseAddr(name)
	if err != nil || ip.Zone() != "" {
		return address{}, false
	}
	a := address(ip.As16())
	return a, a.String() == name
}

func fromIP(ip net.IP) address { return address(ip.To16()) }

// String is the name of the lease's file.
func (a address) String() string { return netip.AddrFrom16(a).Unmap().String() }

// IP has 4 bytes for IPv4 and 16 for IPv6.
func (a address) IP() net.IP { return netip.AddrFrom16(a).Unmap().AsSlice() }

// is4 tells the family.
func (a address) is4() bool { return netip.AddrFrom16(a).Is4In6() }

func (a address) compare(b address) int { return bytes.Compare(a[:], b[:]) }

// next is the following address; false after the very last one.
func (a address) next() (address, bool) { return a.carry(len(a) - 1) }

// carry adds one at the byte i.
func (a address) carry(i int) (address, bool) {
	for ; i >= 0; i-- {
		if a[i]++; a[i] != 0 {
			return a, true
		}
	}
	return a, false
}

// addresses is a set of them in blocks of 256 neighbours.
type addresses map[block]bitmap

type (
	block  [15]byte
	bitmap [4]uint64
)

func (a address) block() (block, uint8) { return block(a[:15]), a[15] }

func (s addresses) add(a address) {
	at, low := a.block()
	bitmap := s[at]
	bitmap[low/64] |= 1 << (low % 64)
	s[at] = bitmap
}

func (s addresses) remove(a address) {
	at, low := a.block()
	b, ok := s[at]
	if !ok {
		return
	}
	if b[low/64] &^= 1 << (low % 64); b == (bitmap{}) {
		delete(s, at)
		return
	}
	s[at] = b
}

func (s addresses) has(a address) bool {
	at, low := a.block()
	return s[at][low/64]&(1<<(low%64)) != 0
}

// firstFree finds the first address from first to last that is not in the set, 256 at a step.
func (s addresses) firstFree(first, last address) (address, bool) {
	a, more := first, true
	for more && a.compare(last) <= 0 {
		at, low := a.block()
		if free, ok := s[at].firstFree(low); ok {
			a[15] = free
			return a, a.compare(last) <= 0
		}
		a[15] = 0
		a, more = a.carry(14)
	}
	return a, false
}

// firstFree finds the first zero from low on.
func (b bitmap) firstFree(low uint8) (uint8, bool) {
	mask := ^uint64(0) << (low % 64)
	for i := int(low / 64); i < len(b); i++ {
		if free := ^b[i] & mask; free != 0 {
			return uint8(i*64 + bits.TrailingZeros64(free)), true
		}
		mask = ^uint64(0)
	}
	return 0, false
}
