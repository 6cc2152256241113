// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// MinMemory is the smallest memory limit accepted, in bytes. Below it even
// the runtime's own init is killed before it can report anything.
const MinMemory = 1 << 20

func (h *Host) translateMemory(r *specs.LinuxResources, out *cgroups.Resources) error {
	m := r.Memory
	if m == nil {
		return nil
	}
	if err := checkMemory(m); err != nil {
		return err
	}
	out.Memory, out.MemoryReservation, out.MemorySwap = value(m.Limit), value(m.Reservation), value(m.Swap)
	out.OomKillDisable = value(m.DisableOOMKiller)
	out.MemoryCheckBeforeUpdate = value(m.CheckBeforeUpdate)
	if m.Swappiness != nil && h.mode != Unified {
		swappiness := *m.Swappiness
		out.MemorySwappiness = &swappiness
	}
	if out.Memory == 0 && out.MemoryReservation == 0 && out.MemorySwap == 0 && !out.OomKillDisable && out.MemorySwappiness == nil {
		return nil
	}
	return h.need("memory", "memory")
}

// checkMemory. Kernel and kernelTCP limits are ignored, as the specification allows:
// Linux 5.4 deprecated them. So is useHierarchy, which the kernel always does.
func checkMemory(m *specs.LinuxMemory) error {
	limit, reservation, swap := value(m.Limit), value(m.Reservation), value(m.Swap)
	switch {
	case limit < -1:
		return invalid("memory.limit", "%d is negative; -1 means unlimited", limit)
	case limit > 0 && limit < MinMemory:
		return invalid("memory.limit", "%d bytes are below the minimum of %d that a container needs to start", limit, MinMemory)
	case reservation < -1:
		return invalid("memory.reservation", "%d is negative; -1 means none", reservation)
	case swap < -1:
		return invalid("memory.swap", "%d is negative; -1 means unlimited", swap)
	case swap > 0 && limit > swap:
		return invalid("memory.swap", "%d is memory and swap together and must not be below memory.limit %d", swap, limit)
	case m.Swappiness != nil && *m.Swappiness > 100 && int64(*m.Swappiness) != -1:
		return invalid("memory.swappiness", "%d is outside 0 to 100", *m.Swappiness)
	}
	return nil
}

// value is *p, or zero when the spec does not set it.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
