// SPDX-License-Identifier: Apache-2.0

package podstats

import (
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/cgroup"
)

func value(n uint64) *runtime.UInt64Value { return &runtime.UInt64Value{Value: n} }

func cpuUsage(u *cgroup.Usage, h *History) *runtime.CpuUsage {
	if u.CPU == nil {
		return nil
	}
	total := uint64(u.CPU.Total)
	usage := &runtime.CpuUsage{
		Timestamp:            u.At.UnixNano(),
		UsageCoreNanoSeconds: value(total),
		Psi:                  psi(u.CPU.Pressure),
	}
	if nanoCores, ok := h.nanoCores(u.At, total); ok {
		usage.UsageNanoCores = value(nanoCores)
	}
	return usage
}

// memoryUsage leaves AvailableBytes out where there is no limit, as the kubelet's own statistics do.
func memoryUsage(u *cgroup.Usage) *runtime.MemoryUsage {
	m := u.Memory
	if m == nil {
		return nil
	}
	usage := &runtime.MemoryUsage{
		Timestamp:       u.At.UnixNano(),
		WorkingSetBytes: value(m.WorkingSet()),
		UsageBytes:      value(m.Usage),
		RssBytes:        value(m.Anon),
		PageFaults:      value(m.PageFaults),
		MajorPageFaults: value(m.MajorFaults),
		Psi:             psi(m.Pressure),
	}
	if m.Limit != cgroup.NoLimit {
		usage.AvailableBytes = value(m.Limit - min(m.Limit, m.WorkingSet()))
	}
	return usage
}

func swapUsage(u *cgroup.Usage) *runtime.SwapUsage {
	if u.Memory == nil || !u.Memory.SwapAccounted {
		return nil
	}
	used, limit := u.Memory.SwapUsage, u.Memory.SwapLimit
	swap := &runtime.SwapUsage{Timestamp: u.At.UnixNano(), SwapUsageBytes: value(used)}
	if limit != cgroup.NoLimit {
		swap.SwapAvailableBytes = value(limit - min(limit, used))
	}
	return swap
}

func ioUsage(u *cgroup.Usage) *runtime.IoUsage {
	if u.IO == nil || u.IO.Pressure == nil {
		return nil
	}
	return &runtime.IoUsage{Timestamp: u.At.UnixNano(), Psi: psi(u.IO.Pressure)}
}

func psi(p *cgroup.Pressure) *runtime.PsiStats {
	if p == nil {
		return nil
	}
	return &runtime.PsiStats{Some: stall(p.Some), Full: stall(p.Full)}
}

func stall(s cgroup.Stall) *runtime.PsiData {
	return &runtime.PsiData{Total: uint64(s.Total), Avg10: s.Avg10, Avg60: s.Avg60, Avg300: s.Avg300}
}
