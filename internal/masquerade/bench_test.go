// SPDX-License-Identifier: Apache-2.0

package masquerade

import (
	"fmt"
	"net"
	"testing"

	"github.com/sardine-run/sardine/internal/testnode"
)

// BenchmarkAddDel is a pod with two addresses, among so many others.
func BenchmarkAddDel(b *testing.B) {
	for _, others := range []int{1, 1000, 5000} {
		r := open(b)
		testnode.ClearRules(b)
		nets := []*net.IPNet{address("10.9.0.2/24"), address("fd00:9::2/64")}
		for i := range others {
			if err := r.Add(b.Context(), "", nets[:1], "net", "eth0", fmt.Sprintf("other%d", i)); err != nil {
				b.Fatal(err)
			}
		}
		both := func(b *testing.B, add bool) {
			for b.Loop() {
				if !add {
					b.StopTimer()
				}
				if err := r.Add(b.Context(), "", nets, "net", "eth0", "pod"); err != nil {
					b.Fatal(err)
				}
				if add {
					b.StopTimer()
				} else {
					b.StartTimer()
				}
				if err := r.Del(b.Context(), nets, "net", "eth0", "pod"); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		}
		b.Run(fmt.Sprintf("add/%d", others), func(b *testing.B) { both(b, true) })
		b.Run(fmt.Sprintf("delete/%d", others), func(b *testing.B) { both(b, false) })
	}
}
