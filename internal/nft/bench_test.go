// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"fmt"
	"testing"
)

// BenchmarkAddDelete adds a rule and deletes it by its comment, with as many of other pods there.
func BenchmarkAddDelete(b *testing.B) {
	for _, others := range []int{1, 1000, 5000} {
		tables, table := open4(b), withTable(b, "bench")
		for i := 0; i < others; i += 500 {
			rules := make([]Rule, min(500, others))
			for j := range rules {
				rules[j] = rule(i+j, fmt.Sprintf("other %d", i+j))
			}
			add(b, tables, table, rules...)
		}
		b.Run(fmt.Sprintf("add/%d", others), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				add(b, tables, table, rule(i, "ours"))
				b.StopTimer()
				remove(b, tables, table.ID, "ours")
				b.StartTimer()
			}
		})
		b.Run(fmt.Sprintf("delete/%d", others), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				add(b, tables, table, rule(i, "ours"))
				b.StartTimer()
				remove(b, tables, table.ID, "ours")
			}
		})
		do(b, tables, func(tx *Tx) {
			tx.Delete(table.ID, "open", tx.FindPrefix(table.ID, "open", "")...)
		})
	}
}
