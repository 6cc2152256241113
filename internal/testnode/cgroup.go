// SPDX-License-Identifier: Apache-2.0

package testnode

import (
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// readCgroups returns the directories of every mounted hierarchy, version 1 and 2.
func readCgroups(mounts map[mount]bool) map[string]bool {
	cgroups := map[string]bool{}
	for m := range mounts {
		if m.fstype != "cgroup" && m.fstype != "cgroup2" {
			continue
		}
		for _, dir := range walk(m.point, fs.DirEntry.IsDir) {
			cgroups[dir] = true
		}
	}
	return cgroups
}

func diffCgroups(before, after *Snapshot) []Leak {
	var leaks []Leak
	for dir := range after.cgroups {
		if before.cgroups[dir] {
			continue
		}
		if after.ownsCgroup(dir) || after.opts.Everything && !after.othersIn(dir) {
			leaks = append(leaks, Leak{Kind: "cgroup", Name: dir})
		}
	}
	return leaks
}

// othersIn tells whether a process that is not the test's is in a cgroup, which
// then isn't the test's either.
func (s *Snapshot) othersIn(dir string) bool {
	procs, _ := os.ReadFile(dir + "/cgroup.procs")
	for _, word := range strings.Fields(string(procs)) {
		pid, err := strconv.Atoi(word)
		if err == nil && !s.owned[pid] {
			return true
		}
	}
	return false
}

// ownsCgroup strips the mount point of the hierarchy that dir lies in.
func (s *Snapshot) ownsCgroup(dir string) bool {
	for m := range s.mounts {
		if m.fstype != "cgroup" && m.fstype != "cgroup2" {
			continue
		}
		if path, ok := strings.CutPrefix(dir, m.point); ok && s.opts.inCgroup(path) {
			return true
		}
	}
	return false
}
