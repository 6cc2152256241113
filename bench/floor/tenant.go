// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

const (
	noexec = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	nodev  = unix.MS_NOSUID | unix.MS_NODEV
)

// mounts are those every container has, in the new root.
var mounts = []struct {
	source, target, kind string
	flags                uintptr
	data                 string
}{
	{"proc", "proc", "proc", noexec, ""},
	{"tmpfs", "dev", "tmpfs", unix.MS_NOSUID, "mode=755,size=65536k"},
	{"devpts", "dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"},
	{"shm", "dev/shm", "tmpfs", nodev, "mode=1777,size=65536k"},
	{"mqueue", "dev/mqueue", "mqueue", noexec, ""},
	{"sysfs", "sys", "sysfs", noexec | unix.MS_RDONLY, ""},
}

// devices are those of the OCI runtime spec, by their minor number below 1.
var devices = map[string]int{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}

var (
	readonly = []string{"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"}
	masked   = []string{"proc/interrupts", "proc/kcore", "proc/keys", "proc/timer_list"}
)

// become does what a runtime would inside and executes the program: it returns
// only errors. It is called in the new namespaces; dir is the tenant's.
func become(dir string) error {
	unix.CloseOnExec(2) // says that the program runs
	root := filepath.Join(dir, "merged")
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	layers := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", filepath.Join(dir, "../lower"), filepath.Join(dir, "upper"), filepath.Join(dir, "work"))
	if err := unix.Mount("overlay", root, "overlay", 0, layers); err != nil {
		return fmt.Errorf("mount the root: %w", err)
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := furnish(); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detach the old root: %w", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("new cgroup namespace: %w", err)
	}
	if err := unix.Sethostname([]byte(filepath.Base(dir))); err != nil {
		return fmt.Errorf("sethostname: %w", err)
	}
	return fmt.Errorf("execute the program: %w", unix.Exec("/bin/sleep", []string{"sleep", "864000"}, []string{"PATH=/bin"}))
}

// furnish mounts, in the working directory.
func furnish() error {
	for _, m := range mounts {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	for name, minor := range devices {
		if err := unix.Mknod("dev/"+name, unix.S_IFCHR|0o666, int(unix.Mkdev(1, uint32(minor)))); err != nil {
			return fmt.Errorf("device %s: %w", name, err)
		}
	}
	for _, path := range present(readonly) {
		if err := bind(path, path); err != nil {
			return err
		}
		if err := unix.Mount("", path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|noexec, ""); err != nil {
			return fmt.Errorf("make %s read-only: %w", path, err)
		}
	}
	for _, path := range present(masked) {
		if err := bind("/dev/null", path); err != nil {
			return err
		}
	}
	return nil
}

// present leaves out what this kernel does not have.
func present(paths []string) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(path string) bool {
		_, err := os.Lstat(path)
		return err != nil
	})
}

func bind(source, path string) error {
	if err := unix.Mount(source, path, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s: %w", path, err)
	}
	return nil
}
