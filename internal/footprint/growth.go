// SPDX-License-Identifier: Apache-2.0

package footprint

import "math"

// Growth is what a node's memory was used for more, in KB for each of a number
// of equal things. What processes that have nothing to do with them took for
// themselves meanwhile is not in it, the one that measures among them.
type Growth struct {
	Node  float64 `json:"nodeKB"` // less of it is available
	Kinds []Kind  `json:"kinds"`
}

// Kind is one use of memory.
type Kind struct {
	Name string  `json:"name"`
	KB   float64 `json:"kb"`
}

// GrowthOf compares two samples between which n things were made.
func GrowthOf(before, after Sample, n int) Growth {
	others := after.Others - before.Others
	return Growth{
		Node: Each(before.Available-after.Available-others, n),
		Kinds: []Kind{
			{"slab, unreclaimable", Each(after.Unreclaimable-before.Unreclaimable, n)},
			{"slab, reclaimable", Each(after.Reclaimable-before.Reclaimable, n)},
			{"per CPU", Each(after.PerCPU-before.PerCPU, n)},
			{"kernel stacks", Each(after.KernelStacks-before.KernelStacks, n)},
			{"page tables", Each(after.PageTables-before.PageTables, n)},
			{"anonymous", Each(after.Anonymous-before.Anonymous-others, n)},
			{"tmpfs", Each(after.Shmem-before.Shmem, n)},
		},
	}
}

// Each divides a growth by n, which may be zero, with one decimal.
func Each(growth int64, n int) float64 {
	if n == 0 {
		return 0
	}
	return math.Round(float64(growth)/float64(n)*10) / 10
}
