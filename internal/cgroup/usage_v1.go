// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"bytes"
	"time"
)

// usageV1 follows Documentation/admin-guide/cgroup-v1. On a hybrid host pressure comes from the
// unified hierarchy, which the container's processes are in too.
func (h *Host) usageV1(r *counterReader, rel string, d Detail, u *Usage) {
	if r.enter(h.v1Of("cpuacct"), rel) {
		u.CPU = cpuacct(r, d)
	}
	if d == Details && u.CPU != nil && r.enter(h.v1Of("cpu"), rel) {
		r.pairs("cpu.stat", u.CPU.setV1)
	}
	if r.enter(h.v1Of("memory"), rel) {
		u.Memory = memoryV1(r, d)
	}
	if r.enter(h.v1Of("pids"), rel) {
		u.Tasks = r.tasks(d)
	}
	if d == Details && r.enter(h.v1Of("blkio"), rel) {
		u.IO = blkio(r)
	}
	if r.found > 0 && r.enter(h.unified, rel) {
		readPressure(r, u)
	}
}

func cpuacct(r *counterReader, d Detail) *CPUUsage {
	total, ok := r.number("cpuacct.usage")
	if !ok {
		return nil
	}
	cpu := &CPUUsage{Total: time.Duration(total)}
	if d == Details {
		user, _ := r.number("cpuacct.usage_user")
		system, _ := r.number("cpuacct.usage_sys")
		cpu.User, cpu.System = time.Duration(user), time.Duration(system)
	}
	return cpu
}

func (c *CPUUsage) setV1(key []byte, value uint64) {
	switch string(key) {
	case "nr_periods":
		c.Periods = value
	case "nr_throttled":
		c.ThrottledPeriods = value
	case "throttled_time":
		c.Throttled = time.Duration(value)
	}
}

func memoryV1(r *counterReader, d Detail) *MemoryUsage {
	usage, ok := r.number("memory.usage_in_bytes")
	if !ok {
		return nil
	}
	m := &MemoryUsage{Usage: usage, Limit: r.limit("memory.limit_in_bytes"), SwapLimit: NoLimit}
	r.pairs("memory.stat", m.setV1)
	if m.SwapAccounted {
		if both := r.limit("memory.memsw.limit_in_bytes"); both != NoLimit && m.Limit != NoLimit && both >= m.Limit {
			m.SwapLimit = both - m.Limit
		}
	}
	if d == Details {
		m.Kernel, _ = r.number("memory.kmem.usage_in_bytes")
		m.MaxUsage, _ = r.number("memory.max_usage_in_bytes")
		m.LimitHits, _ = r.number("memory.failcnt")
		r.pairs("memory.oom_control", func(key []byte, value uint64) {
			if string(key) == "oom_kill" {
				m.OOMKillings = value
			}
		})
	}
	return m
}

func (m *MemoryUsage) setV1(key []byte, value uint64) {
	switch string(key) {
	case "total_rss":
		m.Anon = value
	case "total_cache":
		m.File = value
	case "total_mapped_file":
		m.MappedFile = value
	case "total_inactive_file":
		m.InactiveFile = value
	case "total_active_file":
		m.ActiveFile = value
	case "total_pgfault":
		m.PageFaults = value
	case "total_pgmajfault":
		m.MajorFaults = value
	case "pgfault":
		m.OwnPageFaults = value
	case "pgmajfault":
		m.OwnMajorFaults = value
	case "total_swap": // only with swap accounting
		m.SwapUsage, m.SwapAccounted = value, true
	}
}

// blkio reads what the throttling layer counts, which sees every request, whichever scheduler a
// device has. The files that add sub-cgroups up are of Linux 5.0 (backported to some before).
func blkio(r *counterReader) *IOUsage {
	io := &IOUsage{}
	for _, suffix := range []string{"_recursive", ""} {
		bytes := r.text("blkio.throttle.io_service_bytes" + suffix)
		if bytes == nil {
			continue
		}
		io.addV1(bytes, func(dev *DeviceUsage) (read, write *uint64) { return &dev.ReadBytes, &dev.WriteBytes })
		io.addV1(r.text("blkio.throttle.io_serviced"+suffix), func(dev *DeviceUsage) (read, write *uint64) { return &dev.Reads, &dev.Writes })
		return io
	}
	return nil
}

// addV1 reads lines "8:0 Read 4096".
func (io *IOUsage) addV1(text []byte, fields func(*DeviceUsage) (read, write *uint64)) {
	for line := range bytes.Lines(text) {
		number, rest, _ := bytes.Cut(bytes.TrimSpace(line), []byte{' '})
		operation, value, _ := bytes.Cut(rest, []byte{' '})
		dev, ok := parseDevice(number)
		if !ok {
			continue
		}
		read, write := fields(io.device(dev))
		switch string(operation) {
		case "Read":
			*read = counter(value)
		case "Write":
			*write = counter(value)
		}
	}
}

func (io *IOUsage) device(dev DeviceUsage) *DeviceUsage {
	for i := range io.Devices {
		if d := &io.Devices[i]; d.Major == dev.Major && d.Minor == dev.Minor {
			return d
		}
	}
	io.Devices = append(io.Devices, dev)
	return &io.Devices[len(io.Devices)-1]
}
