// SPDX-License-Identifier: Apache-2.0

package nri

import (
	"maps"

	"github.com/containerd/nri/pkg/api"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// resourcesMessage translates CRI's resources, where zero means not given, to NRI's, where that
// is a missing value.
func resourcesMessage(r *runtime.LinuxContainerResources) *api.LinuxResources {
	if r == nil {
		return nil
	}
	m := &api.LinuxResources{
		Cpu:     &api.LinuxCPU{Cpus: r.CpusetCpus, Mems: r.CpusetMems},
		Memory:  &api.LinuxMemory{},
		Unified: maps.Clone(r.Unified),
	}
	if r.CpuShares > 0 {
		m.Cpu.Shares = api.UInt64(uint64(r.CpuShares))
	}
	if r.CpuQuota != 0 {
		m.Cpu.Quota = api.Int64(r.CpuQuota)
	}
	if r.CpuPeriod > 0 {
		m.Cpu.Period = api.UInt64(uint64(r.CpuPeriod))
	}
	if r.MemoryLimitInBytes != 0 {
		m.Memory.Limit = api.Int64(r.MemoryLimitInBytes)
	}
	if r.MemorySwapLimitInBytes != 0 {
		m.Memory.Swap = api.Int64(r.MemorySwapLimitInBytes)
	}
	for _, l := range r.HugepageLimits {
		m.HugepageLimits = append(m.HugepageLimits, &api.HugepageLimit{PageSize: l.PageSize, Limit: l.Limit})
	}
	return m
}

// resourcesOf is the reverse. What CRI has no field for, a limit of processes for one, is lost.
func resourcesOf(m *api.LinuxResources) *runtime.LinuxContainerResources {
	r := &runtime.LinuxContainerResources{
		CpuShares:              int64(m.GetCpu().GetShares().GetValue()),
		CpuQuota:               m.GetCpu().GetQuota().GetValue(),
		CpuPeriod:              int64(m.GetCpu().GetPeriod().GetValue()),
		CpusetCpus:             m.GetCpu().GetCpus(),
		CpusetMems:             m.GetCpu().GetMems(),
		MemoryLimitInBytes:     m.GetMemory().GetLimit().GetValue(),
		MemorySwapLimitInBytes: m.GetMemory().GetSwap().GetValue(),
		Unified:                maps.Clone(m.GetUnified()),
	}
	for _, l := range m.GetHugepageLimits() {
		r.HugepageLimits = append(r.HugepageLimits, &runtime.HugepageLimit{PageSize: l.GetPageSize(), Limit: l.GetLimit()})
	}
	return r
}
