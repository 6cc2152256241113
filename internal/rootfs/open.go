// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// UserNamespace gives a descriptor of a user namespace with the maps of m. The
// caller of the function does not close it.
type UserNamespace func(m Mapping) (fd int, err error)

// Open returns a detached mount of the root file system that mounts describe; the
// caller closes it. mapping, when not nil, makes it an idmapped mount (Linux 5.12);
// users is called only then.
//
// One bind or overlay mount, the common case, needs no mount namespace. Several mounts,
// overlay on kernels that cannot take its layers one by one (before 6.7) and idmapped
// overlay layers are put together in a mount namespace of their own.
func Open(mounts []Mount, mapping *Mapping, users UserNamespace) (int, error) {
	if len(mounts) == 0 {
		return -1, fmt.Errorf("rootfs: no mounts given")
	}
	tree, err := assemble(mounts, mapping, users)
	if err != nil {
		return -1, fmt.Errorf("rootfs: %w", err)
	}
	return tree, nil
}

func assemble(mounts []Mount, mapping *Mapping, users UserNamespace) (int, error) {
	m := mounts[len(mounts)-1]
	switch {
	case len(mounts) > 1:
		return stack(mounts)
	case m.bind():
		return openBind(m, mapping, users)
	case m.Type == "overlay" && mapping != nil:
		return overlayMapped(m, *mapping, users)
	case m.Type == "overlay":
		return overlay(m)
	}
	tree, err := openFS(m)
	if err != nil || mapping == nil {
		return tree, err
	}
	return closeOnError(tree, idmap(tree, false, *mapping, users, m.Source))
}

func (m Mount) bind() bool {
	if m.Type == "bind" || m.Type == "rbind" {
		return true
	}
	for _, o := range m.Options {
		if o == "bind" || o == "rbind" {
			return true
		}
	}
	return false
}

func openBind(m Mount, mapping *Mapping, users UserNamespace) (int, error) {
	recursive := m.Type == "rbind"
	var set uint64
	for _, o := range m.Options {
		if o == "rbind" {
			recursive = true
		}
		set |= attribute(o)
	}
	tree, err := kernel.OpenTree(unix.AT_FDCWD, m.Source, recursive)
	if err != nil {
		return -1, err
	}
	if set != 0 {
		err = kernel.MountSetattr(tree, false, &unix.MountAttr{Attr_set: set}, m.Source)
	}
	if err == nil && mapping != nil {
		err = idmap(tree, recursive, *mapping, users, m.Source)
	}
	return closeOnError(tree, err)
}

// attribute returns the MOUNT_ATTR_* bit of a mount(8) option that sets one.
func attribute(option string) uint64 {
	switch option {
	case "ro":
		return unix.MOUNT_ATTR_RDONLY
	case "nosuid":
		return unix.MOUNT_ATTR_NOSUID
	case "nodev":
		return unix.MOUNT_ATTR_NODEV
	case "noexec":
		return unix.MOUNT_ATTR_NOEXEC
	case "noatime":
		return unix.MOUNT_ATTR_NOATIME
	}
	return 0
}

// openFS mounts a file system that is not an overlay, e.g. EROFS or ext4.
func openFS(m Mount) (int, error) {
	fs, err := kernel.FSOpen(m.Type)
	if err != nil {
		return -1, err
	}
	defer fs.Close()
	if err := fs.SetString("source", m.Source); err != nil {
		return -1, err
	}
	var attr uint64
	for _, o := range m.Options {
		a := attribute(o)
		attr |= a
		if a != 0 && a != unix.MOUNT_ATTR_RDONLY || o == "rw" || o == "defaults" {
			continue
		}
		if err := setOption(fs, o); err != nil {
			return -1, err
		}
	}
	return fs.Mount(int(attr))
}

func setOption(fs kernel.FSContext, option string) error {
	key, value, ok := strings.Cut(option, "=")
	if !ok {
		return fs.SetFlag(key)
	}
	return fs.SetString(key, value)
}

// idmap makes a detached mount an idmapped one.
func idmap(tree int, recursive bool, m Mapping, users UserNamespace, name string) error {
	ns, err := users(m)
	if err != nil {
		return err
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns)}
	return kernel.MountSetattr(tree, recursive, &attr, name)
}

func closeOnError(fd int, err error) (int, error) {
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
