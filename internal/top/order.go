// SPDX-License-Identifier: Apache-2.0

package top

import (
	"cmp"
	"slices"
	"strings"
)

// Order of pods.
type Order string

// The orders. Numbers begin with the largest, names with the first of the alphabet.
const (
	ByCPU      Order = "cpu"
	ByMemory   Order = "memory"
	ByRestarts Order = "restarts"
	ByName     Order = "name"
	ByAge      Order = "age"
)

func orders() []Order { return []Order{ByCPU, ByMemory, ByRestarts, ByName, ByAge} }

func (o Order) known() bool { return slices.Contains(orders(), o) }

// OrderNames lists the orders for people.
func OrderNames() string {
	names := make([]string, len(orders()))
	for i, o := range orders() {
		names[i] = string(o)
	}
	return strings.Join(names, ", ")
}

// sorted returns pods in order o. Pods that are equal in it go by name.
func sorted(pods []Pod, o Order, reverse bool) []Pod {
	list := slices.Clone(pods)
	compare := o.compare()
	slices.SortStableFunc(list, func(a, b Pod) int {
		c := compare(&a, &b)
		if reverse {
			c = -c
		}
		return cmp.Or(c, byName(&a, &b))
	})
	return list
}

func (o Order) compare() func(a, b *Pod) int {
	switch o {
	case ByMemory:
		return func(a, b *Pod) int { return largest(a.MemoryWorkingSetBytes, b.MemoryWorkingSetBytes) }
	case ByRestarts:
		return func(a, b *Pod) int { return cmp.Compare(b.Restarts, a.Restarts) }
	case ByAge:
		return func(a, b *Pod) int { return a.CreatedAt.Compare(b.CreatedAt) }
	case ByName:
		return byName
	default:
		return func(a, b *Pod) int { return largest(a.CPUPercent, b.CPUPercent) }
	}
}

func byName(a, b *Pod) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name),
		a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
}

// largest puts what is not known last.
func largest[T cmp.Ordered](a, b *T) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	return cmp.Compare(*b, *a)
}
