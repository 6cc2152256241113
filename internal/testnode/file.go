// SPDX-License-Identifier: Apache-2.0

package testnode

import "io/fs"

func readFiles(dirs []string) map[string]bool {
	files := map[string]bool{}
	for _, dir := range dirs {
		for _, path := range walk(dir, func(fs.DirEntry) bool { return true }) {
			files[path] = true
		}
	}
	return files
}

func diffFiles(before, after *Snapshot) []Leak {
	var leaks []Leak
	for path := range after.files {
		if !before.files[path] {
			leaks = append(leaks, Leak{Kind: "file", Name: path})
		}
	}
	return leaks
}
