// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// Update changes the limits of a running container. Only fields that r sets change; device
// rules, if there are any, replace the container's.
func (c *Cgroup) Update(r *specs.LinuxResources) error {
	resources, err := c.host.translate(r)
	if err != nil {
		return err
	}
	if err := c.updateDevices(r, resources); err != nil {
		return err
	}
	if c.host.mode == Unified {
		c.fillUnified(resources)
	}
	if err := c.update(resources); err != nil {
		return fmt.Errorf("cgroup: update /%s: %w", c.path, err)
	}
	return nil
}

func (c *Cgroup) updateDevices(r *specs.LinuxResources, out *cgroups.Resources) (err error) {
	out.SkipDevices = true
	if r == nil || len(r.Devices) == 0 {
		return nil
	}
	out.SkipDevices = false
	out.Devices, err = deviceRules(r)
	return err
}

func (c *Cgroup) update(r *cgroups.Resources) error {
	if r.PidsLimit != nil && c.pending != nil {
		c.pending.pids = nil
	}
	if c.unit == nil {
		return c.set(r)
	}
	m, err := c.unitManager(r, nil)
	if err != nil {
		return err
	}
	return limitError(m.Set(r))
}

// fillUnified completes pairs of values that share a file in cgroup v2, or whose
// translation needs the other one, from what is set now.
func (c *Cgroup) fillUnified(r *cgroups.Resources) {
	h := c.host.unified
	if (r.CpuQuota == 0) != (r.CpuPeriod == 0) {
		current, _ := h.read(c.path + "/cpu.max")
		quota, period := parseCPUMax(current)
		if r.CpuQuota == 0 {
			r.CpuQuota = quota
		} else {
			r.CpuPeriod = period
		}
	}
	if r.MemorySwap > 0 && r.Memory == 0 {
		current, _ := h.read(c.path + "/memory.max")
		r.Memory = parseLimit(current)
	}
}

// parseCPUMax reads "QUOTA PERIOD", QUOTA being "max" for none (-1).
func parseCPUMax(line string) (quota int64, period uint64) {
	fields := strings.Fields(line)
	if len(fields) != 2 {
		return 0, 0
	}
	period, _ = strconv.ParseUint(fields[1], 10, 64)
	return parseLimit(fields[0]), period
}

// parseLimit reads a number or "max", which is -1. It is 0, "not set", for anything else.
func parseLimit(s string) int64 {
	s = strings.TrimSpace(s)
	if s == "max" {
		return -1
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
