// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

func probeOpenat2(dir string) error {
	root, err := Open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer root.Close()
	fd, err := OpenInRoot(int(root.Fd()), "/..", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// detached runs fn with a mount of a file system without options that is attached nowhere.
func detached(fstype string, fn func(mount int) error) error {
	fs, err := FSOpen(fstype)
	if err != nil {
		return meansNo(err, unix.ENODEV)
	}
	defer fs.Close()
	mount, err := fs.Mount(0)
	if err != nil {
		return err
	}
	defer unix.Close(mount)
	return fn(mount)
}

func probeMountAPI(string) error {
	return detached("tmpfs", func(int) error { return nil })
}

func probeMountSetattr(string) error {
	return detached("tmpfs", func(mount int) error {
		return MountSetattr(mount, true, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}, "tmpfs")
	})
}

// probeIdmappedMount maps the file system that dir is on: support is each file system's.
func probeIdmappedMount(dir string) error {
	return withStopped(userNamespace(), func(pid int) error {
		namespace, err := Open("/proc/"+strconv.Itoa(pid)+"/ns/user", unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		defer namespace.Close()
		tree, err := OpenTree(unix.AT_FDCWD, dir, false)
		if err != nil {
			return err
		}
		defer unix.Close(tree)
		attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(namespace.Fd())}
		return meansNo(MountSetattr(tree, false, &attr, dir), unix.EINVAL)
	})
}

// probeCgroupKill makes a cgroup in the unified hierarchy, mounted or not, and removes it.
func probeCgroupKill(string) error {
	return detached("cgroup2", func(mount int) error {
		name := "sardine-probe-" + strconv.Itoa(os.Getpid())
		if err := unix.Mkdirat(mount, name, 0o700); err != nil {
			return wrap("mkdir", name, err)
		}
		err := unix.Faccessat(mount, name+"/cgroup.kill", unix.W_OK, 0)
		return errors.Join(
			meansNo(wrap("access", name+"/cgroup.kill", err), unix.ENOENT),
			wrap("rmdir", name, unix.Unlinkat(mount, name, unix.AT_REMOVEDIR)))
	})
}

func probeOverlay(dir string) error         { return tryOverlay(dir) }
func probeOverlayVolatile(dir string) error { return tryOverlay(dir, "volatile") }
func probeOverlayXattr(dir string) error    { return tryOverlay(dir, "userxattr") }

// tryOverlay mounts an overlay with the given flags over directories below dir. Before 6.5
// overlay does not check options any earlier.
func tryOverlay(dir string, flags ...string) error {
	return inScratch(dir, func(scratch string) error {
		fs, err := FSOpen("overlay")
		if err != nil {
			return meansNo(err, unix.ENODEV)
		}
		defer fs.Close()
		for _, key := range []string{"lowerdir", "upperdir", "workdir"} {
			path := filepath.Join(scratch, key)
			if err := os.Mkdir(path, 0o700); err != nil {
				return err
			}
			if err := fs.SetString(key, path); err != nil {
				return err
			}
		}
		for _, flag := range flags {
			if err := fs.SetFlag(flag); err != nil {
				return meansNo(err, unix.EINVAL)
			}
		}
		mount, err := fs.Mount(0)
		if err != nil {
			return meansNo(err, unix.EINVAL)
		}
		return unix.Close(mount)
	})
}

// probeOverlayAppend mounts two layers given one by one.
func probeOverlayAppend(dir string) error {
	return inScratch(dir, func(scratch string) error {
		fs, err := FSOpen("overlay")
		if err != nil {
			return meansNo(err, unix.ENODEV)
		}
		defer fs.Close()
		for _, name := range []string{"upper layer", "lower layer"} {
			path := filepath.Join(scratch, name)
			if err := os.Mkdir(path, 0o700); err != nil {
				return err
			}
			if err := fs.SetString("lowerdir+", path); err != nil {
				return meansNo(err, unix.EINVAL)
			}
		}
		mount, err := fs.Mount(0)
		if err != nil {
			return meansNo(err, unix.EINVAL)
		}
		return unix.Close(mount)
	})
}

// probeErofsFile mounts a file of zeros. A kernel that takes files at all finds no
// superblock in it: EINVAL.
func probeErofsFile(dir string) error {
	return inScratch(dir, func(scratch string) error {
		image := filepath.Join(scratch, "image")
		if err := os.WriteFile(image, make([]byte, 4096), 0o600); err != nil {
			return err
		}
		fs, err := FSOpen("erofs")
		if err != nil {
			return meansNo(err, unix.ENODEV)
		}
		defer fs.Close()
		if err := fs.SetString("source", image); err != nil {
			return err
		}
		_, err = fs.Mount(unix.MOUNT_ATTR_RDONLY)
		return meansNo(meansYes(err, unix.EINVAL), unix.ENOTBLK)
	})
}

// inScratch runs fn with a new directory below dir and removes it afterwards.
func inScratch(dir string, fn func(scratch string) error) error {
	scratch, err := os.MkdirTemp(dir, ".sardine-probe-")
	if err != nil {
		return err
	}
	return errors.Join(fn(scratch), os.RemoveAll(scratch))
}

func probeBTF(string) error {
	return tryOpen("/sys/kernel/btf/vmlinux", unix.O_RDONLY)
}

func probeFUSE(string) error {
	return tryOpen("/dev/fuse", unix.O_RDWR)
}

func tryOpen(path string, flags int) error {
	file, err := Open(path, flags, 0)
	if err != nil {
		return meansNo(err, unix.ENOENT, unix.ENODEV, unix.ENXIO)
	}
	return file.Close()
}

// probePreContent asks for events before the content of dir's files is read.
func probePreContent(dir string) error {
	const preAccess = 0x00100000 // FAN_PRE_ACCESS
	fd, err := retryFD(func() (int, error) {
		return unix.FanotifyInit(unix.FAN_CLASS_PRE_CONTENT|unix.FAN_CLOEXEC, unix.O_RDONLY)
	})
	if err != nil {
		return meansNo(wrap("fanotify_init", "", err), unix.EINVAL)
	}
	defer unix.Close(fd)
	err = unix.FanotifyMark(fd, unix.FAN_MARK_ADD, preAccess|unix.FAN_EVENT_ON_CHILD, unix.AT_FDCWD, dir)
	return meansNo(wrap("fanotify_mark", dir, err), unix.EINVAL, unix.EOPNOTSUPP)
}
