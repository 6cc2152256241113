// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/plan"
)

// device makes a device node, or binds the host's where mknod is not allowed. What
// the image has in its place is removed.
func (s *session) device(d *plan.Device) error {
	if d.FD != plan.NoFD {
		return s.bindDevice(d)
	}
	dir, name := split(d.Path)
	parent, err := s.directory(dir)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	err = unix.Mknodat(parent, name, d.Mode, int(d.Number))
	if errors.Is(err, unix.EEXIST) {
		if err = unix.Unlinkat(parent, name, 0); err == nil {
			err = unix.Mknodat(parent, name, d.Mode, int(d.Number))
		}
	}
	if err != nil {
		return &kernel.Error{Call: "mknodat", Object: d.Path, Err: err}
	}
	if d.UID != 0 || d.GID != 0 {
		if err := unix.Fchownat(parent, name, int(d.UID), int(d.GID), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &kernel.Error{Call: "fchownat", Object: d.Path, Err: err}
		}
	}
	return nil
}

func (s *session) bindDevice(d *plan.Device) error {
	defer unix.Close(d.FD)
	target, err := s.target(d.Path, true)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	return kernel.MoveMount(d.FD, target, d.Path)
}

// link makes a symbolic link unless something is there.
func (s *session) link(l plan.Link) error {
	dir, name := split(l.Path)
	parent, err := s.directory(dir)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	if err := unix.Symlinkat(l.Target, parent, name); err != nil && err != unix.EEXIST {
		return &kernel.Error{Call: "symlinkat", Object: l.Path, Err: err}
	}
	return nil
}
