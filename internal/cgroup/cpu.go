// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"strconv"
	"strings"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// Bounds of the kernel's CFS bandwidth controller in microseconds, and of its shares
// (kernel/sched/core.c, Documentation/scheduler/sched-bwc.rst).
const (
	minCPUPeriod = 1_000
	maxCPUPeriod = 1_000_000
	minCPUQuota  = 1_000
	maxCPUShares = 1 << 18
)

func (h *Host) translateCPU(r *specs.LinuxResources, out *cgroups.Resources) error {
	c := r.CPU
	if c == nil {
		return nil
	}
	if err := checkCPU(c); err != nil {
		return err
	}
	out.CpuShares, out.CpuPeriod, out.CpuQuota = value(c.Shares), value(c.Period), value(c.Quota)
	out.CpuBurst, out.CPUIdle = c.Burst, c.Idle
	out.CpuRtPeriod, out.CpuRtRuntime = value(c.RealtimePeriod), value(c.RealtimeRuntime)
	if out.CpuRtPeriod != 0 || out.CpuRtRuntime != 0 {
		if h.mode == Unified {
			return invalid("cpu.realtimePeriod", "realtime scheduling of groups does not exist in cgroup v2")
		}
	}
	if out.CpuShares|out.CpuPeriod|out.CpuRtPeriod == 0 && out.CpuQuota == 0 && out.CpuRtRuntime == 0 && out.CpuBurst == nil && out.CPUIdle == nil {
		return nil
	}
	if err := h.translateShares(out); err != nil {
		return err
	}
	return h.need("cpu", "cpu")
}

// translateShares. cgroup v2 has weights instead, and any number of shares has a nearest one.
func (h *Host) translateShares(out *cgroups.Resources) error {
	if h.mode == Unified {
		out.CpuWeight = cgroups.ConvertCPUSharesToCgroupV2Value(out.CpuShares)
		out.CpuShares = 0
	}
	if out.CpuShares == 1 || out.CpuShares > maxCPUShares {
		return invalid("cpu.shares", "%d is outside 2 to %d", out.CpuShares, maxCPUShares)
	}
	return nil
}

func checkCPU(c *specs.LinuxCPU) error {
	period, quota, burst := value(c.Period), value(c.Quota), value(c.Burst)
	switch {
	case period != 0 && (period < minCPUPeriod || period > maxCPUPeriod):
		return invalid("cpu.period", "%d µs is outside %d to %d", period, minCPUPeriod, maxCPUPeriod)
	case quota < -1 || quota > 0 && quota < minCPUQuota:
		return invalid("cpu.quota", "%d µs is below %d; -1 means unlimited", quota, minCPUQuota)
	case burst != 0 && quota > 0 && burst > uint64(quota):
		return invalid("cpu.burst", "%d µs is above cpu.quota %d", burst, quota)
	case c.Idle != nil && *c.Idle != 0 && *c.Idle != 1:
		return invalid("cpu.idle", "%d is neither 0 nor 1", *c.Idle)
	case value(c.RealtimeRuntime) < -1:
		return invalid("cpu.realtimeRuntime", "%d is negative", *c.RealtimeRuntime)
	case value(c.RealtimePeriod) > 0 && value(c.RealtimeRuntime) > 0 && uint64(*c.RealtimeRuntime) > *c.RealtimePeriod:
		return invalid("cpu.realtimeRuntime", "%d µs is above cpu.realtimePeriod %d", *c.RealtimeRuntime, *c.RealtimePeriod)
	}
	return nil
}

func (h *Host) translateCpuset(r *specs.LinuxResources, out *cgroups.Resources) error {
	if r.CPU == nil || r.CPU.Cpus == "" && r.CPU.Mems == "" {
		return nil
	}
	if err := checkList(r.CPU.Cpus); err != nil {
		return invalid("cpu.cpus", "%q: %v", r.CPU.Cpus, err)
	}
	if err := checkList(r.CPU.Mems); err != nil {
		return invalid("cpu.mems", "%q: %v", r.CPU.Mems, err)
	}
	out.CpusetCpus, out.CpusetMems = r.CPU.Cpus, r.CPU.Mems
	return h.need("cpu.cpus", "cpuset")
}

// checkList accepts the list format of cpuset(7): numbers and ranges, "0-2,7" and "0-31:2/4".
// Whether the numbers exist on this machine is for the kernel to say.
func checkList(list string) error {
	if list == "" {
		return nil
	}
	for _, item := range strings.Split(strings.TrimSpace(list), ",") {
		if err := checkRange(item); err != nil {
			return err
		}
	}
	return nil
}

func checkRange(item string) error {
	bounds, stride, strided := strings.Cut(item, ":")
	if strided && !validStride(stride) {
		return errors.New("want a stride of the form USED/GROUP in " + strconv.Quote(item))
	}
	first, last, isRange := strings.Cut(bounds, "-")
	if !isRange {
		last = first
	}
	from, err1 := strconv.ParseUint(first, 10, 16)
	to, err2 := strconv.ParseUint(last, 10, 16)
	switch {
	case err1 != nil || err2 != nil || strided && !isRange:
		return errors.New("want a number or a range, not " + strconv.Quote(item))
	case from > to:
		return errors.New("the range " + item + " runs backwards")
	}
	return nil
}

func validStride(s string) bool {
	used, group, found := strings.Cut(s, "/")
	u, err1 := strconv.ParseUint(used, 10, 16)
	g, err2 := strconv.ParseUint(group, 10, 16)
	return found && err1 == nil && err2 == nil && u > 0 && g >= u
}
