// SPDX-License-Identifier: Apache-2.0

package netif

import (
	"encoding/binary"
	"iter"

	"golang.org/x/sys/unix"
)

// kindMask takes NLA_F_NESTED and NLA_F_NET_BYTEORDER off an attribute's type.
const kindMask = 0x3fff

// attributes iterates over netlink attributes (struct rtattr, rtnetlink(7)), and ends where something is no attribute.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			size := int(binary.NativeEndian.Uint16(b))
			if size < unix.SizeofRtAttr || size > len(b) {
				return
			}
			if !yield(binary.NativeEndian.Uint16(b[2:])&kindMask, b[unix.SizeofRtAttr:size]) {
				return
			}
			b = b[min(len(b), (size+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1)):]
		}
	}
}

// attribute follows a path of nested attributes.
func attribute(message []byte, path ...uint16) (value []byte, has bool) {
	value = message
	for _, kind := range path {
		has = false
		for k, v := range attributes(value) {
			if k == kind {
				value, has = v, true
				break
			}
		}
		if !has {
			return nil, false
		}
	}
	return value, true
}
