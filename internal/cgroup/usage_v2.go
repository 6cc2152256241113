// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"bytes"
	"strconv"
)

// usageV2 follows Documentation/admin-guide/cgroup-v2.rst.
func (h *Host) usageV2(r *counterReader, rel string, d Detail, u *Usage) {
	if !r.enter(h.unified, rel) {
		return
	}
	u.CPU = cpuV2(r)
	u.Memory = memoryV2(r, d)
	u.Tasks = r.tasks(d)
	u.IO = ioV2(r, d)
	readPressure(r, u)
}

// readPressure fills in what the unified hierarchy knows, with controllers or without.
func readPressure(r *counterReader, u *Usage) {
	if u.CPU != nil {
		u.CPU.Pressure = r.pressure("cpu.pressure")
	}
	if u.Memory != nil {
		u.Memory.Pressure = r.pressure("memory.pressure")
	}
	if p := r.pressure("io.pressure"); p != nil {
		if u.IO == nil {
			u.IO = &IOUsage{}
		}
		u.IO.Pressure = p
	}
}

func cpuV2(r *counterReader) *CPUUsage {
	cpu := &CPUUsage{}
	if !r.pairs("cpu.stat", cpu.setV2) {
		return nil
	}
	return cpu
}

func (c *CPUUsage) setV2(key []byte, value uint64) {
	switch string(key) {
	case "usage_usec":
		c.Total = usec(value)
	case "user_usec":
		c.User = usec(value)
	case "system_usec":
		c.System = usec(value)
	case "nr_periods":
		c.Periods = value
	case "nr_throttled":
		c.ThrottledPeriods = value
	case "throttled_usec":
		c.Throttled = usec(value)
	}
}

func memoryV2(r *counterReader, d Detail) *MemoryUsage {
	usage, ok := r.number("memory.current")
	if !ok {
		return nil
	}
	m := &MemoryUsage{Usage: usage, Limit: NoLimit, SwapLimit: NoLimit}
	r.pairs("memory.stat", m.setV2)
	if limit, ok := r.number("memory.max"); ok {
		m.Limit = limit
	}
	if m.SwapUsage, m.SwapAccounted = r.number("memory.swap.current"); m.SwapAccounted {
		m.SwapLimit, _ = r.number("memory.swap.max")
	}
	m.OwnPageFaults, m.OwnMajorFaults = m.PageFaults, m.MajorFaults
	if d == Details {
		m.MaxUsage, _ = r.number("memory.peak") // Linux 5.19
		r.pairs("memory.events", func(key []byte, value uint64) {
			if string(key) == "oom_kill" {
				m.OOMKillings = value
			}
		})
	}
	return m
}

func (m *MemoryUsage) setV2(key []byte, value uint64) {
	switch string(key) {
	case "anon":
		m.Anon = value
	case "file":
		m.File = value
	case "file_mapped":
		m.MappedFile = value
	case "kernel": // Linux 5.18
		m.Kernel = value
	case "inactive_file":
		m.InactiveFile = value
	case "active_file":
		m.ActiveFile = value
	case "pgfault":
		m.PageFaults = value
	case "pgmajfault":
		m.MajorFaults = value
	}
}

// tasks is the same in v1 and v2.
func (r *counterReader) tasks(d Detail) *TaskUsage {
	current, ok := r.number("pids.current")
	if !ok {
		return nil
	}
	t := &TaskUsage{Current: current}
	if d == Details {
		t.Limit, _ = r.number("pids.max")
	}
	return t
}

func ioV2(r *counterReader, d Detail) *IOUsage {
	if d != Details {
		return nil
	}
	text := r.text("io.stat")
	if text == nil {
		return nil
	}
	return &IOUsage{Devices: parseIOStat(text)}
}

// parseIOStat reads "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0"; a device that did nothing has
// only its number.
func parseIOStat(text []byte) []DeviceUsage {
	var devices []DeviceUsage
	for line := range bytes.Lines(text) {
		number, rest, _ := bytes.Cut(bytes.TrimSpace(line), []byte{' '})
		dev, ok := parseDevice(number)
		if !ok {
			continue
		}
		for field := range bytes.FieldsSeq(rest) {
			key, value, _ := bytes.Cut(field, []byte{'='})
			switch string(key) {
			case "rbytes":
				dev.ReadBytes = counter(value)
			case "wbytes":
				dev.WriteBytes = counter(value)
			case "rios":
				dev.Reads = counter(value)
			case "wios":
				dev.Writes = counter(value)
			}
		}
		devices = append(devices, dev)
	}
	return devices
}

func parseDevice(text []byte) (dev DeviceUsage, ok bool) {
	major, minor, ok := bytes.Cut(text, []byte{':'})
	if !ok {
		return dev, false
	}
	a, err1 := strconv.ParseUint(string(major), 10, 32)
	b, err2 := strconv.ParseUint(string(minor), 10, 32)
	return DeviceUsage{Major: uint32(a), Minor: uint32(b)}, err1 == nil && err2 == nil
}
