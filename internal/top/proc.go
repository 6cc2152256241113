// SPDX-License-Identifier: Apache-2.0

package top

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/sardine-run/sardine/internal/kernel"
)

// tick is the unit in which /proc shows times to programs, on every machine.
const tick = 10 * time.Millisecond

// processSample is what a process has used so far.
type processSample struct {
	pid         int
	start       time.Duration // after boot; with the pid, names the process
	cpu         time.Duration
	age         time.Duration
	resident    int64
	threads     int
	descriptors *int // nil without the right to see them
}

func sampleProcess(pid int) (*processSample, error) {
	stat, err := kernel.ReadProcStat(pid)
	if err != nil {
		return nil, err
	}
	uptime, err := readUptime()
	if err != nil {
		return nil, err
	}
	start := time.Duration(stat.StartTicks) * tick
	p := &processSample{
		pid: pid, start: start, age: uptime - start, cpu: time.Duration(stat.CPUTicks) * tick,
		resident: stat.Resident * int64(os.Getpagesize()), threads: stat.Threads,
	}
	if list, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "fd")); err == nil {
		n := len(list)
		p.descriptors = &n
	}
	return p, nil
}

func readUptime() (time.Duration, error) {
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0, err
	}
	up, _, _ := bytes.Cut(text, []byte(" "))
	s, err := strconv.ParseFloat(string(up), 64)
	if err != nil {
		return 0, fmt.Errorf("/proc/uptime: %w", err)
	}
	return seconds(s), nil
}

// nodeSample is what the machine has used so far.
type nodeSample struct {
	cpus        int
	busy, total time.Duration
	memoryTotal int64 // bytes
	available   int64
}

func sampleNode() (n nodeSample, err error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return n, err
	}
	if n.cpus, n.busy, n.total, err = parseStat(text); err != nil {
		return n, fmt.Errorf("/proc/stat: %w", err)
	}
	if text, err = os.ReadFile("/proc/meminfo"); err != nil {
		return n, err
	}
	if n.memoryTotal, n.available, err = parseMeminfo(text); err != nil {
		return n, fmt.Errorf("/proc/meminfo: %w", err)
	}
	return n, nil
}

var errCPU = errors.New("no line of all CPUs")

// parseStat counts the CPUs that are online and their time, proc_stat(5). Time that guests
// used is in that of users, and waiting for a disk is idle.
func parseStat(text []byte) (cpus int, busy, total time.Duration, err error) {
	const idle, iowait, steal = 3, 4, 7
	found := false
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		switch {
		case len(fields) == 0 || !bytes.HasPrefix(fields[0], []byte("cpu")):
			continue
		case len(fields[0]) > len("cpu"):
			cpus++
			continue
		}
		found = true
		for i, field := range fields[1:min(len(fields), steal+2)] {
			ticks, err := strconv.ParseUint(string(field), 10, 64)
			if err != nil {
				return 0, 0, 0, err
			}
			total += time.Duration(ticks) * tick
			if i != idle && i != iowait {
				busy += time.Duration(ticks) * tick
			}
		}
	}
	if !found || cpus == 0 {
		return 0, 0, 0, errCPU
	}
	return cpus, busy, total, nil
}

// parseMeminfo returns MemTotal and MemAvailable in bytes, proc_meminfo(5).
func parseMeminfo(text []byte) (total, available int64, err error) {
	into := map[string]*int64{"MemTotal": &total, "MemAvailable": &available}
	for line := range bytes.Lines(text) {
		name, rest, _ := bytes.Cut(line, []byte(":"))
		p, fields := into[string(name)], bytes.Fields(rest)
		if p == nil || len(fields) == 0 {
			continue
		}
		kb, err := strconv.ParseInt(string(fields[0]), 10, 64)
		if err != nil {
			return 0, 0, err
		}
		*p = kb * 1024
		delete(into, string(name))
	}
	if len(into) > 0 {
		return 0, 0, errors.New("lines MemTotal and MemAvailable are wanted")
	}
	return total, available, nil
}
