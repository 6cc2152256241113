// SPDX-License-Identifier: Apache-2.0

package netif

import (
	"testing"

	"github.com/vishvananda/netlink/nl"
)

// FuzzMessages reads what the kernel would send.
func FuzzMessages(f *testing.F) {
	f.Add([]byte{2, 24, 0, 0, 3, 0, 0, 0, 8, 0, 2, 0, 10, 0, 0, 1})
	f.Add(make([]byte, 16))
	f.Fuzz(func(t *testing.T, m []byte) {
		if a, _, ok := parseAddress(m); ok && a.Net.Mask == nil {
			t.Error(a)
		}
		_, _ = portAttribute(m, nl.IFLA_BRPORT_LOCKED)
	})
}
