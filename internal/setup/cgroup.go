// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/plan"
)

// cgroupTree makes the frame of what a container on cgroup v1 sees at /sys/fs/cgroup: a tmpfs
// with one directory per hierarchy. In a cgroup namespace each is a fresh mount
// whose root is the container's cgroup; without, it is a copy of the container's
// cgroup directory of the host. A mount can be put into a tree only when the tree is
// attached, so mountCgroups follows later.
func (s *session) cgroupTree(m *plan.Mount) (int, error) {
	fs, err := kernel.FSOpen("tmpfs")
	if err != nil {
		return -1, err
	}
	defer fs.Close()
	if err := fs.SetString("mode", "755"); err != nil {
		return -1, err
	}
	tree, err := fs.Mount(0)
	if err != nil {
		return -1, err
	}
	if err := s.fillCgroups(tree, m); err != nil {
		unix.Close(tree)
		return -1, err
	}
	return tree, nil
}

func (s *session) fillCgroups(tree int, m *plan.Mount) error {
	for _, h := range m.Cgroups {
		if err := makeDirectory(tree, h.Key); err != nil {
			return err
		}
		for _, name := range controllers(h.Key) {
			if name != h.Key {
				if err := unix.Symlinkat(h.Key, tree, name); err != nil {
					return &kernel.Error{Call: "symlinkat", Object: name, Err: err}
				}
			}
		}
	}
	return nil
}

// mountCgroups puts the hierarchies, if m has any, into the attached tree root.
func (s *session) mountCgroups(root int, m *plan.Mount) error {
	for _, h := range m.Cgroups {
		hierarchy, err := s.hierarchy(h)
		if err != nil {
			return err
		}
		err = s.mountHierarchy(root, hierarchy, h.Key, m)
		unix.Close(hierarchy)
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *session) mountHierarchy(root, hierarchy int, name string, m *plan.Mount) error {
	if err := setAttr(hierarchy, false, m.Attr, 0, name); err != nil {
		return err
	}
	dir, err := kernel.OpenBeneath(root, name, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	return kernel.MoveMount(hierarchy, dir, m.Destination+"/"+name)
}

// hierarchy returns a detached mount of one cgroup hierarchy.
func (s *session) hierarchy(h plan.Pair) (int, error) {
	if !s.plan.UnshareCgroup {
		return kernel.OpenTree(unix.AT_FDCWD, h.Value, false)
	}
	fstype := "cgroup"
	if h.Key == "unified" {
		fstype = "cgroup2"
	}
	fs, err := kernel.FSOpen(fstype)
	if err != nil {
		return -1, err
	}
	defer fs.Close()
	if fstype == "cgroup" {
		if err := selectControllers(fs, h.Key); err != nil {
			return -1, err
		}
	}
	return fs.Mount(0)
}

// selectControllers names the hierarchy: its controllers, or for the one that has
// none its name.
func selectControllers(fs kernel.FSContext, key string) error {
	if key == "systemd" {
		if err := fs.SetFlag("none"); err != nil {
			return err
		}
		return fs.SetString("name", "systemd")
	}
	for _, c := range controllers(key) {
		if err := fs.SetFlag(c); err != nil {
			return err
		}
	}
	return nil
}

// controllers splits "cpu,cpuacct".
func controllers(key string) []string {
	var names []string
	start := 0
	for i := 0; i <= len(key); i++ {
		if i == len(key) || key[i] == ',' {
			names = append(names, key[start:i])
			start = i + 1
		}
	}
	return names
}
