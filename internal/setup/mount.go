// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/plan"
)

// mount attaches one mount of the Plan. The tree is complete, attributes and all,
// before anybody can see it.
func (s *session) mount(m *plan.Mount) error {
	tree := m.FD
	if tree == plan.NoFD {
		var err error
		if tree, err = s.newTree(m); err != nil {
			return err
		}
	}
	defer unix.Close(tree)
	target, err := s.target(m.Destination, m.File)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	if err := kernel.MoveMount(tree, target, m.Destination); err != nil {
		return err
	}
	return s.mountCgroups(tree, m)
}

// newTree makes a detached mount of a new file system.
func (s *session) newTree(m *plan.Mount) (int, error) {
	tree, err := s.instance(m)
	if err != nil {
		return -1, err
	}
	if err := s.dress(tree, m); err != nil {
		unix.Close(tree)
		return -1, err
	}
	return tree, nil
}

func (s *session) instance(m *plan.Mount) (int, error) {
	if m.FSType == "cgroup" {
		return s.cgroupTree(m)
	}
	if !fitsFSConfig(m) {
		return legacyTree(m)
	}
	fs, err := kernel.FSOpen(m.FSType)
	if err != nil {
		return -1, err
	}
	defer fs.Close()
	if err := configure(fs, m); err != nil {
		return -1, err
	}
	return fs.Mount(0)
}

func configure(fs kernel.FSContext, m *plan.Mount) error {
	if m.Source != "" {
		if err := fs.SetString("source", m.Source); err != nil {
			return err
		}
	}
	for _, o := range m.Options {
		var err error
		if o.Value == "" {
			err = fs.SetFlag(o.Key)
		} else {
			err = fs.SetString(o.Key, o.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// maxFSConfig is the longest string fsconfig(2) takes, in bytes.
const maxFSConfig = 255

func fitsFSConfig(m *plan.Mount) bool {
	for _, o := range m.Options {
		if len(o.Value) > maxFSConfig {
			return false
		}
	}
	return len(m.Source) <= maxFSConfig
}

// legacyTree mounts with mount(2), whose options may be a page long, and takes the
// mount off again as a detached tree. The place used is /proc of this mount
// namespace, which is still the host's and out of everybody's sight.
func legacyTree(m *plan.Mount) (int, error) {
	var data string
	for i, o := range m.Options {
		if i > 0 {
			data += ","
		}
		data += o.Key
		if o.Value != "" {
			data += "=" + o.Value
		}
	}
	const place = "/proc"
	if err := kernel.Mount(m.Source, place, m.FSType, 0, data); err != nil {
		return -1, err
	}
	tree, err := kernel.OpenTree(unix.AT_FDCWD, place, false)
	if uerr := unix.Unmount(place, unix.MNT_DETACH); err == nil && uerr != nil {
		unix.Close(tree)
		return -1, &kernel.Error{Call: "umount2", Object: place, Err: uerr}
	}
	return tree, err
}

// dress fills a new file system and gives its mount the attributes asked for.
func (s *session) dress(tree int, m *plan.Mount) error {
	if m.CopyUp {
		if err := s.copyUp(tree, m.Destination); err != nil {
			return err
		}
	}
	if err := setAttr(tree, false, m.Attr, m.Propagation, m.Destination); err != nil {
		return err
	}
	return setAttr(tree, true, m.Recursive, 0, m.Destination)
}

func setAttr(tree int, recursive bool, a plan.Attr, propagation uint64, name string) error {
	if a == (plan.Attr{}) && propagation == 0 {
		return nil
	}
	attr := unix.MountAttr{Attr_set: a.Set, Attr_clr: a.Clear, Propagation: propagation &^ unix.MS_REC}
	return kernel.MountSetattr(tree, recursive, &attr, name)
}

// readonly makes a path read-only by a read-only copy of its mount on top of it.
// A path that does not exist needs no protection.
func (s *session) readonly(path string) error {
	target, err := s.lookup(path)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(target)
	tree, err := kernel.OpenTree(target, "", true)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	if err := setAttr(tree, true, plan.Attr{Set: unix.MOUNT_ATTR_RDONLY}, 0, path); err != nil {
		return err
	}
	return kernel.MoveMount(tree, target, path)
}

// mask hides a path: a directory behind an empty one, a file behind the null device.
func (s *session) mask(path string) error {
	target, err := s.lookup(path)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(target)
	var st unix.Stat_t
	if err := unix.Fstat(target, &st); err != nil {
		return &kernel.Error{Call: "fstat", Object: path, Err: err}
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return s.host.coverDirectory(target, path)
	}
	return coverWith(s.host.devNull, target, path)
}

// coverDirectory puts a read-only directory with nothing in it on target. The first
// masked directory gets the file system itself and the others copies of that mount:
// before Linux 6.15 only attached mounts can be copied.
func (h *hostFiles) coverDirectory(target int, path string) error {
	if h.empty != plan.NoFD {
		return coverWith(h.empty, target, path)
	}
	empty, err := kernel.EmptyTree()
	if err != nil {
		return err
	}
	if err := kernel.MoveMount(empty, target, path); err != nil {
		unix.Close(empty)
		return err
	}
	h.empty = empty
	return nil
}

func coverWith(cover, target int, path string) error {
	tree, err := kernel.OpenTree(cover, "", false)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	return kernel.MoveMount(tree, target, path)
}

func missing(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) }
