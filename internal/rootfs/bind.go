// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// Bind describes a detached copy of a host path.
type Bind struct {
	Source      string
	Tree        *os.File // a detached mount to use instead, once; Source only names it then
	Recursive   bool     // with submounts
	Set, Clear  uint64   // MOUNT_ATTR_* of the mount itself
	SetAll      uint64   // MOUNT_ATTR_* of the mount and its submounts
	ClearAll    uint64
	Propagation uint64   // 0 or MS_*, with MS_REC for submounts
	Mapping     *Mapping // idmapped mount, nil for none
	MapAll      bool     // the mapping covers submounts
}

// Open returns the detached copy, which the caller closes, and whether the path is a
// directory. Symbolic links in Source are followed, as mount(8) does.
func (b Bind) Open(users UserNamespace) (tree int, directory bool, err error) {
	tree, err = b.open()
	if err != nil {
		return -1, false, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(tree, &st); err == nil {
		err = b.dress(tree, users)
	}
	tree, err = closeOnError(tree, err)
	return tree, st.Mode&unix.S_IFMT == unix.S_IFDIR, err
}

func (b Bind) open() (int, error) {
	if b.Tree == nil {
		return kernel.OpenTree(unix.AT_FDCWD, b.Source, b.Recursive)
	}
	fd, err := unix.FcntlInt(b.Tree.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, &kernel.Error{Call: "fcntl F_DUPFD_CLOEXEC", Object: b.Source, Err: err}
	}
	return fd, nil
}

func (b Bind) dress(tree int, users UserNamespace) error {
	if b.Mapping != nil {
		if err := idmap(tree, b.MapAll, *b.Mapping, users, b.Source); err != nil {
			return err
		}
	}
	top := unix.MountAttr{Attr_set: b.Set, Attr_clr: b.Clear}
	all := unix.MountAttr{Attr_set: b.SetAll, Attr_clr: b.ClearAll}
	switch {
	case b.Propagation == 0:
		// The copy of a shared mount is its peer: without this, what a container
		// mounts below a volume would appear on the host.
		all.Propagation = unix.MS_SLAVE
	case b.Propagation&unix.MS_REC != 0:
		all.Propagation = b.Propagation &^ unix.MS_REC
	default:
		top.Propagation = b.Propagation
	}
	if top != (unix.MountAttr{}) {
		if err := kernel.MountSetattr(tree, false, &top, b.Source); err != nil {
			return err
		}
	}
	if all != (unix.MountAttr{}) {
		return kernel.MountSetattr(tree, true, &all, b.Source)
	}
	return nil
}
