// SPDX-License-Identifier: Apache-2.0

package testnode

import (
	"io/fs"
	"path/filepath"
	"syscall"
)

func readFiles(dirs []string) map[string]bool {
	files := map[string]bool{}
	for _, dir := range dirs {
		for _, path := range walk(dir, func(fs.DirEntry) bool { return true }) {
			files[path] = true
		}
	}
	return files
}

// walk lists what is below root, on root's own file system, and wanted. What
// can't be read is left out: it is going away.
func walk(root string, wanted func(fs.DirEntry) bool) []string {
	device, err := deviceOf(root)
	if err != nil {
		return nil
	}
	var found []string
	_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return skip(entry)
		}
		if wanted(entry) {
			found = append(found, path)
		}
		if d, err := deviceOf(path); entry.IsDir() && (err != nil || d != device) {
			return fs.SkipDir // a mount point; the mount is told of elsewhere
		}
		return nil
	})
	return found
}

func skip(entry fs.DirEntry) error {
	if entry != nil && entry.IsDir() {
		return fs.SkipDir
	}
	return nil
}

func deviceOf(path string) (uint64, error) {
	var stat syscall.Stat_t
	err := syscall.Lstat(path, &stat)
	return stat.Dev, err
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
