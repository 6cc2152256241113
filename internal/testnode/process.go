// SPDX-License-Identifier: Apache-2.0

package testnode

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sardine-run/sardine/internal/kernel"
)

// processID is a pid that no later process can be mistaken for.
type processID struct {
	pid   int
	start uint64 // clock ticks since boot
}

type process struct {
	processID
	parent  int
	state   string
	command string // comm
	args    string
	cgroups []string // paths from the hierarchies' roots
	owned   bool
}

// kernelThreads is the pid of kthreadd, the parent of every kernel thread.
const kernelThreads = 2

// Alive tells whether a process has a thread left. A zombie has none, and long stays one where init is slow to reap; a first thread
// that is one says nothing.
func Alive(pid int) bool {
	pidfd, err := kernel.PidfdOpen(pid)
	if err != nil {
		return false
	}
	defer kernel.Close(pidfd)
	ended, err := kernel.Readable(pidfd)
	return err == nil && !ended
}

// pidDirs returns the pids in /proc.
func pidDirs() ([]int, error) {
	names, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	pids := make([]int, 0, len(names))
	for _, name := range names {
		if pid, err := strconv.Atoi(filepath.Base(name)); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func readProcesses() (map[processID]process, error) {
	pids, err := pidDirs()
	if err != nil {
		return nil, err
	}
	processes := make(map[processID]process, len(pids))
	for _, pid := range pids {
		p, err := readProcess(pid)
		if err != nil || p.parent == kernelThreads || pid == kernelThreads {
			continue // gone meanwhile, or the kernel's
		}
		processes[p.processID] = p
	}
	return processes, nil
}

func readProcess(pid int) (process, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	p, err := parseStat(string(stat))
	if err != nil {
		return process{}, err
	}
	args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	p.args = string(bytes.TrimSpace(bytes.ReplaceAll(args, []byte{0}, []byte{' '})))
	p.cgroups = readCgroupsOf(pid)
	return p, nil
}

// parseStat reads the fields of proc_pid_stat(5) that matter here. comm may
// hold spaces and parentheses, so the last closing one ends it.
func parseStat(stat string) (process, error) {
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return process{}, fmt.Errorf("stat %q: no command", stat)
	}
	fields := strings.Fields(stat[end+1:])
	if len(fields) < 20 {
		return process{}, fmt.Errorf("stat %q: %d fields after the command, want 20", stat, len(fields))
	}
	pid, errPID := strconv.Atoi(strings.TrimSpace(stat[:open]))
	parent, errParent := strconv.Atoi(fields[1])
	start, errStart := strconv.ParseUint(fields[19], 10, 64)
	if errPID != nil || errParent != nil || errStart != nil {
		return process{}, fmt.Errorf("stat %q: not numbers", stat)
	}
	return process{
		processID: processID{pid: pid, start: start},
		parent:    parent,
		state:     fields[0],
		command:   stat[open+1 : end],
	}, nil
}

// readCgroupsOf returns a process's path in every hierarchy, see cgroups(7).
func readCgroupsOf(pid int) []string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	var paths []string
	for line := range strings.Lines(string(data)) {
		if parts := strings.SplitN(strings.TrimSpace(line), ":", 3); len(parts) == 3 {
			paths = append(paths, parts[2])
		}
	}
	return paths
}

// markOwned finds the processes that the test or its daemon started: their
// descendants, and those that outlived a parent, by cgroup or by path.
func (s *Snapshot) markOwned() {
	roots := map[int]bool{os.Getpid(): true}
	if pid := s.daemonPID(); pid != 0 {
		roots[pid] = true
	}
	parents := make(map[int]int, len(s.processes))
	for _, p := range s.processes {
		parents[p.pid] = p.parent
	}
	s.owned = map[int]bool{}
	for id, p := range s.processes {
		p.owned = descends(p.pid, parents, roots) || s.opts.ownsProcess(p)
		s.processes[id] = p
		s.owned[p.pid] = p.owned
	}
}

func descends(pid int, parents map[int]int, roots map[int]bool) bool {
	for range len(parents) { // bounded: pids may be reused while /proc is read
		if roots[pid] {
			return true
		}
		parent, ok := parents[pid]
		if !ok {
			return false
		}
		pid = parent
	}
	return false
}

func (o *Options) ownsProcess(p process) bool {
	for _, path := range p.cgroups {
		if o.inCgroup(path) {
			return true
		}
	}
	if len(o.Dirs) == 0 {
		return false
	}
	if o.mentions(p.args) {
		return true
	}
	return !sameMountNamespace(p.pid) && o.ownsMounts(p.pid)
}

// ownsMounts tells whether a process has something of the test's mounted: a
// root file system out of its directories. A mount on one of its directories
// may be a copy of the node's, which every new mount namespace has.
func (o *Options) ownsMounts(pid int) bool {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	for line := range strings.Lines(string(data)) {
		m, err := parseMount(line)
		if err == nil && !o.mentions(m.point) && o.mentions(strings.Join([]string{m.root, m.source, m.options}, " ")) {
			return true
		}
	}
	return false
}

// sameMountNamespace tells whether the process sees the test's own mounts,
// which say nothing about who started it.
func sameMountNamespace(pid int) bool {
	theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	if err != nil {
		return true
	}
	ours, _ := os.Readlink("/proc/self/ns/mnt")
	return ours == theirs
}

func diffProcesses(before, after *Snapshot) []Leak {
	var leaks []Leak
	for id, p := range after.processes {
		if _, ok := before.processes[id]; ok || id.pid == after.daemonPID() {
			continue
		}
		if p.state == "Z" && p.parent == 1 {
			continue // ended; when its entry goes is up to the node's init
		}
		if p.owned || after.opts.Everything && p.isRuntime() {
			leaks = append(leaks, Leak{Kind: "process", Name: strconv.Itoa(p.pid), Detail: p.describe()})
		}
	}
	return leaks
}

// isRuntime tells the processes that run containers, whoever's they are.
func (p *process) isRuntime() bool {
	return strings.HasPrefix(p.command, "sardine") || strings.HasPrefix(p.command, "runc") || strings.HasPrefix(p.command, "containerd")
}

func (p *process) describe() string {
	return fmt.Sprintf("%s (state %s, parent %d) %s", p.command, p.state, p.parent, p.args)
}
