// SPDX-License-Identifier: Apache-2.0

package footprint

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
)

// Processes counts the processes on the node, without the kernel's own threads: those come and go.
func Processes() (int, error) {
	parents, err := processTable()
	return len(parents), err
}

// processTable maps every process that is none of the kernel's own to its parent.
func processTable() (map[int]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	parents := make(map[int]int)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // ended since the directory was read
		}
		if parent, kernel, err := parseStat(stat); err == nil && !kernel {
			parents[pid] = parent
		}
	}
	return parents, nil
}

// kernelThread is PF_KTHREAD of the kernel's include/linux/sched.h.
const kernelThread = 0x00200000

// parseStat reads the fourth and the ninth field of /proc/PID/stat: the parent, and whether the process is a thread of the kernel. The second
// field is the command in parentheses and may hold anything, parentheses and spaces too.
func parseStat(stat []byte) (parent int, kernel bool, err error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, false, fmt.Errorf("no command in %q", stat)
	}
	fields := bytes.Fields(stat[end+1:])
	if len(fields) < 7 {
		return 0, false, fmt.Errorf("no flags in %q", stat)
	}
	if parent, err = strconv.Atoi(string(fields[1])); err != nil {
		return 0, false, err
	}
	flags, err := strconv.ParseUint(string(fields[6]), 10, 32)
	return parent, flags&kernelThread != 0, err
}

// helpers are the processes that exist for the containers without being in
// them: the ancestors of a container up to the daemon or the first process (a
// shim is no child of the daemon that started it), and all descendants of those
// and of the daemon, a pod's pause process among them, except the containers'.
func helpers(parents map[int]int, daemon int, containers []int) []int {
	payload := make(map[int]bool, len(containers))
	for _, pid := range containers {
		payload[pid] = true
	}
	found := make(map[int]bool)
	for _, pid := range containers {
		for pid = parents[pid]; pid > 1 && pid != daemon; pid = parents[pid] {
			if isAncestor(parents, pid, daemon) {
				break // the daemon was started by a shell that is not its helper
			}
			found[pid] = true
		}
	}
	roots := maps.Clone(found)
	roots[daemon] = true
	for pid := range parents {
		if serves(parents, pid, roots, payload) {
			found[pid] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// serves says whether pid descends from one of the roots without being in a
// container, or descending from one that is.
func serves(parents map[int]int, pid int, roots, payload map[int]bool) bool {
	for ; pid > 0; pid = parents[pid] {
		if payload[pid] {
			return false
		}
		if roots[parents[pid]] {
			return true
		}
	}
	return false
}

func isAncestor(parents map[int]int, ancestor, pid int) bool {
	for pid = parents[pid]; pid > 0; pid = parents[pid] {
		if pid == ancestor {
			return true
		}
	}
	return false
}
