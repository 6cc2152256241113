// SPDX-License-Identifier: Apache-2.0

package top

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sardine-run/sardine/internal/kernel"
)

// holderName is what the process that keeps descriptors for a daemon calls itself. Its last argument is
// its directory, two below the daemon's state directory.
const holderName = "sardine-fdstore"

// holders finds the holder of a daemon, which has had it since before it served its socket.
type holders struct {
	daemon, holder identity
}

// identity names a process for good.
type identity struct {
	pid   int
	start time.Duration
}

func (p *processSample) identity() identity { return identity{p.pid, p.start} }

// of samples the holder of a daemon, nil if there is none. It looks through all processes once
// for each daemon, and again when the holder has ended.
func (h *holders) of(daemon *processSample) *processSample {
	if daemon == nil {
		return nil
	}
	if h.daemon == daemon.identity() && h.holder.pid == 0 {
		return nil
	}
	if p, err := sampleProcess(h.holder.pid); err == nil && h.daemon == daemon.identity() && p.identity() == h.holder {
		return p
	}
	h.daemon, h.holder = daemon.identity(), identity{}
	for _, pid := range processesNamed(holderName) {
		if p, err := sampleProcess(pid); err == nil && keepsFor(pid, daemon.pid) {
			h.holder = p.identity()
			return p
		}
	}
	return nil
}

func processesNamed(name string) (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if stat, err := kernel.ReadProcStat(pid); err == nil && stat.Comm == name {
			pids = append(pids, pid)
		}
	}
	return pids
}

// keepsFor reports whether the daemon has files open below the holder's state directory.
func keepsFor(holder, daemon int) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(holder), "cmdline"))
	if err != nil {
		return false
	}
	args := strings.Split(strings.TrimRight(string(text), "\x00"), "\x00")
	state := filepath.Dir(filepath.Dir(args[len(args)-1])) + "/"
	links, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(daemon), "fd", "*"))
	if err != nil {
		return false
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, state) {
			return true
		}
	}
	return false
}
