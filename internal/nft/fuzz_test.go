// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"syscall"
	"testing"
)

func FuzzComment(f *testing.F) {
	f.Add([]byte{0, 4, 'o', 'n', 'e', 0})
	f.Add([]byte{1, 2, 3, 4, 0, 200, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		if got := comment(data); len(got) > 255 {
			t.Errorf("comment of %d bytes", len(got))
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add(uint16(subsystem|6), []byte{1, 0, 0, 0, 8, 0, 1, 0, 'a', 'b', 0, 0})
	f.Fuzz(func(t *testing.T, kind uint16, data []byte) {
		m := &syscall.NetlinkMessage{Data: data}
		m.Header.Type = kind
		if o, ok := decode(m); ok {
			x := index{o.table: newTable()}
			x.apply(o, false)
			x.apply(o, true)
		}
	})
}
