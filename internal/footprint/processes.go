// SPDX-License-Identifier: Apache-2.0

package footprint

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
)

// Processes counts the processes on the node.
func Processes() (int, error) {
	parents, err := processTable()
	return len(parents), err
}

// processTable maps every process to its parent.
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
		if parent, err := parentOf(stat); err == nil {
			parents[pid] = parent
		}
	}
	return parents, nil
}

// parentOf reads the fourth field of /proc/PID/stat. The second is the command
// in parentheses and may hold anything, parentheses and spaces too.
func parentOf(stat []byte) (int, error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, fmt.Errorf("no command in %q", stat)
	}
	fields := bytes.Fields(stat[end+1:])
	if len(fields) < 2 {
		return 0, fmt.Errorf("no parent in %q", stat)
	}
	return strconv.Atoi(string(fields[1]))
}

// helpers are the processes that exist for the containers without being in
// them: the ancestors of a container up to the daemon or the first process (a
// shim is no child of the daemon that started it), and all descendants of the
// daemon except the containers'.
func helpers(parents map[int]int, daemon int, containers []int) []int {
	found := make(map[int]bool)
	for _, pid := range containers {
		for pid = parents[pid]; pid > 1 && pid != daemon; pid = parents[pid] {
			if isAncestor(parents, pid, daemon) {
				break // the daemon was started by a shell that is not its helper
			}
			found[pid] = true
		}
	}
	for pid := range parents {
		if isAncestor(parents, daemon, pid) && !belongs(parents, pid, containers) {
			found[pid] = true
		}
	}
	pids := make([]int, 0, len(found))
	for pid := range found {
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	return pids
}

func isAncestor(parents map[int]int, ancestor, pid int) bool {
	for pid = parents[pid]; pid > 0; pid = parents[pid] {
		if pid == ancestor {
			return true
		}
	}
	return false
}

// belongs says whether pid is one of the processes or descends from one.
func belongs(parents map[int]int, pid int, containers []int) bool {
	for ; pid > 0; pid = parents[pid] {
		if slices.Contains(containers, pid) {
			return true
		}
	}
	return false
}
