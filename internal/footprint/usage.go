// SPDX-License-Identifier: Apache-2.0

package footprint

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// CPU is the processor time used so far by this process and by a daemon, each
// without its children.
type CPU struct {
	Self, Daemon time.Duration

	daemon int
}

// Usage reads the times of now.
func Usage(daemon int) (CPU, error) {
	var self unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &self); err != nil {
		return CPU{}, fmt.Errorf("getrusage: %w", err)
	}
	used, err := processTime(daemon)
	if err != nil {
		return CPU{}, err
	}
	return CPU{
		Self:   time.Duration(self.Utime.Nano() + self.Stime.Nano()),
		Daemon: used,
		daemon: daemon,
	}, nil
}

// Since returns what was used after c was read.
func (c CPU) Since() (CPU, error) {
	now, err := Usage(c.daemon)
	if err != nil {
		return CPU{}, err
	}
	return CPU{Self: now.Self - c.Self, Daemon: now.Daemon - c.Daemon, daemon: c.daemon}, nil
}

// processTime is what a process has used by itself.
func processTime(pid int) (time.Duration, error) {
	own, _, err := processTimes(pid)
	return own, err
}

// processTimes reads utime and stime of /proc/PID/stat, then cutime and cstime,
// those of the processes it has waited for and of what these have waited for.
// All are in clock ticks, of which Linux shows 100 per second to programs on
// every machine.
func processTimes(pid int) (own, children time.Duration, err error) {
	stat, err := os.ReadFile(path(pid, "stat"))
	if err != nil {
		return 0, 0, err
	}
	const utime = 14 - 3 // fields counted from the one after the command, the third
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	var times [4]time.Duration
	if len(fields) < utime+len(times) {
		return 0, 0, fmt.Errorf("%s is too short: %q", path(pid, "stat"), stat)
	}
	for i := range times {
		ticks, err := strconv.ParseInt(string(fields[utime+i]), 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", path(pid, "stat"), err)
		}
		times[i] = time.Duration(ticks) * 10 * time.Millisecond
	}
	return times[0] + times[1], times[2] + times[3], nil
}
