// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"golang.org/x/sys/unix"
)

// FSContext is a file system being configured: fsopen(2), Linux 5.2.
// The caller closes it; the mounts made from it live on.
type FSContext struct {
	fd     int
	fstype string
}

// FSOpen starts the configuration of a new instance of fstype.
func FSOpen(fstype string) (FSContext, error) {
	fd, err := retryFD(func() (int, error) { return unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC) })
	return FSContext{fd, fstype}, wrap("fsopen", fstype, err)
}

// SetString sets key=value. The kernel limits value to 255 bytes.
func (c FSContext) SetString(key, value string) error {
	return c.failed(key+"="+value, unix.FsconfigSetString(c.fd, key, value))
}

// SetFlag sets a key without value, such as "ro".
func (c FSContext) SetFlag(key string) error {
	return c.failed(key, unix.FsconfigSetFlag(c.fd, key))
}

// Mount creates the instance and returns a detached mount of it with the given
// MOUNT_ATTR_* attributes: fsconfig(FSCONFIG_CMD_CREATE), fsmount(2).
func (c FSContext) Mount(attr int) (int, error) {
	if err := unix.FsconfigCreate(c.fd); err != nil {
		return -1, c.failed("create", err)
	}
	fd, err := retryFD(func() (int, error) { return unix.Fsmount(c.fd, unix.FSMOUNT_CLOEXEC, attr) })
	return fd, wrap("fsmount", c.fstype, err)
}

// Close drops the context.
func (c FSContext) Close() { unix.Close(c.fd) }

// failed names the option and adds what the file system left in its message log:
// "overlay: failed to resolve '/x'" helps more than EINVAL.
func (c FSContext) failed(option string, err error) error {
	if err == nil {
		return nil
	}
	object := c.fstype + " " + option
	var buf [512]byte
	if n, rerr := unix.Read(c.fd, buf[:]); rerr == nil && n > 2 {
		object += " (" + trimNewline(string(buf[2:n])) + ")" // "e ", "w " or "i " precede the text
	}
	return wrap("fsconfig", object, err)
}

func trimNewline(s string) string {
	for len(s) > 0 && s[len(s)-1] == '\n' {
		s = s[:len(s)-1]
	}
	return s
}

// OpenTree returns a detached copy of the mount at path below dirfd:
// open_tree(2) with OPEN_TREE_CLONE, Linux 5.2. An empty path copies dirfd itself.
func OpenTree(dirfd int, path string, recursive bool) (int, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if path == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := retryFD(func() (int, error) { return unix.OpenTree(dirfd, path, flags) })
	return fd, wrap("open_tree", path, err)
}

// MoveMount attaches the detached mount tree on the file or directory target,
// both given as descriptors: move_mount(2), Linux 5.2. name is for the error only.
func MoveMount(tree, target int, name string) error {
	err := retry(func() error {
		return unix.MoveMount(tree, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	})
	return wrap("move_mount", name, err)
}

// MountSetattr changes a mount given by descriptor: mount_setattr(2), Linux 5.12.
func MountSetattr(tree int, recursive bool, attr *unix.MountAttr, name string) error {
	flags := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	err := retry(func() error { return unix.MountSetattr(tree, "", flags, attr) })
	return wrap("mount_setattr", name, err)
}

// Mount is mount(2), for what the newer calls cannot do.
func Mount(source, target, fstype string, flags uintptr, data string) error {
	return wrap("mount", target, retry(func() error { return unix.Mount(source, target, fstype, flags, data) }))
}

// PivotRoot makes the current directory, which must be a mount point, the root of
// the caller's mount namespace and detaches the old root: pivot_root(2), the
// "." "." form of its NOTES.
func PivotRoot(newroot int) error {
	oldroot, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return wrap("open", "/", err)
	}
	defer unix.Close(oldroot)
	if err := unix.Fchdir(newroot); err != nil {
		return wrap("fchdir", "new root", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return wrap("pivot_root", ".", err)
	}
	if err := unix.Fchdir(oldroot); err != nil {
		return wrap("fchdir", "old root", err)
	}
	// Not shared with the host: the unmount below must not travel back to it.
	if err := unix.Mount("", ".", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return wrap("mount", "old root (slave)", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return wrap("umount2", "old root", err)
	}
	return wrap("chdir", "/", unix.Chdir("/"))
}

// IsMountRoot reports whether path is where something is mounted: statx(2), STATX_ATTR_MOUNT_ROOT, Linux 5.8.
func IsMountRoot(path string) (bool, error) {
	var st unix.Statx_t
	err := retry(func() error { return unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, 0, &st) })
	return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, wrap("statx", path, err)
}
