// SPDX-License-Identifier: Apache-2.0

package testnode

import (
	"io/fs"
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
		if after.opts.Everything || after.ownsCgroup(dir) {
			leaks = append(leaks, Leak{Kind: "cgroup", Name: dir})
		}
	}
	return leaks
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
