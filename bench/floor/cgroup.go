// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// hierarchy is a mounted tree of cgroups.
type hierarchy struct {
	root string
	two  bool // version 2
}

// hierarchies finds them in the mount table: all, or version 2's alone.
func hierarchies(one bool) ([]hierarchy, error) {
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	var found []hierarchy
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) > 2 && (fields[2] == "cgroup2" || fields[2] == "cgroup" && !one) {
			found = append(found, hierarchy{root: fields[1], two: fields[2] == "cgroup2"})
		}
	}
	if len(found) == 0 {
		return nil, errors.New("no cgroups are mounted")
	}
	return found, nil
}

func (h hierarchy) path(name string) string { return filepath.Join(h.root, name) }

// make makes a cgroup. In one of cpuset a process needs processors and memory
// nodes: those of the parent.
func (h hierarchy) make(name string) error {
	if err := os.Mkdir(h.path(name), 0o755); err != nil {
		return err
	}
	if h.two {
		return nil
	}
	for _, setting := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(h.root, setting))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(h.path(name), setting), value, 0); err != nil {
			return err
		}
	}
	return nil
}

// enter moves the calling thread: "0" is who writes.
func (h hierarchy) enter(name string) error {
	return os.WriteFile(filepath.Join(h.path(name), "tasks"), []byte("0"), 0)
}

// remove waits a little for the last process to be gone from the cgroup's view.
func (h hierarchy) remove(name string) error {
	for try := 0; ; try++ {
		err := unix.Rmdir(h.path(name))
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if try == 100 || !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("remove cgroup %s: %w", h.path(name), err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
