// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Mount describes one mounted cgroup hierarchy.
type Mount struct {
	// Controllers of a v1 hierarchy as the kernel names them ("cpu", "cpuacct",
	// "name=systemd"); empty for the unified hierarchy.
	Controllers []string
	// Mountpoint on the host, e.g. "/sys/fs/cgroup/memory".
	Mountpoint string
	// Root is the cgroup visible at the mount point, "/" except inside a container.
	Root string
}

// Unified reports whether this is the cgroup2 hierarchy.
func (m Mount) Unified() bool { return len(m.Controllers) == 0 }

func newMount(info *mountinfo.Info, own map[string]string) Mount {
	m := Mount{Mountpoint: info.Mountpoint, Root: info.Root}
	if info.FSType != "cgroup" {
		return m
	}
	for _, option := range strings.Split(info.VFSOptions, ",") {
		// Only names of hierarchies: the options also hold rw, xattr, clone_children...
		if _, ok := own[option]; ok && option != "" {
			m.Controllers = append(m.Controllers, option)
		}
	}
	if m.Controllers == nil {
		m.Mountpoint = "" // a v1 hierarchy without a name cannot be joined by name
	}
	return m
}

func (m Mount) key() string {
	switch {
	case m.Mountpoint == "":
		return ""
	case m.Unified():
		return "cgroup2"
	}
	return strings.Join(m.Controllers, ",")
}

// hierarchy is a Mount held open. Paths given to its methods are relative to the mount.
type hierarchy struct {
	Mount
	fd int
}

func openHierarchy(m Mount) (*hierarchy, error) {
	fd, err := ignoringEINTR(func() (int, error) {
		return unix.Open(m.Mountpoint, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, pathError("open", m.Mountpoint, err)
	}
	if m.Unified() && !isCgroup2(fd) {
		unix.Close(fd)
		return nil, fmt.Errorf("cgroup: %s is hidden by another mount", m.Mountpoint)
	}
	return &hierarchy{Mount: m, fd: fd}, nil
}

func (h *hierarchy) close() { unix.Close(h.fd) }

// path of rel on the host.
func (h *hierarchy) path(rel string) string { return path.Join(h.Mountpoint, rel) }

func (h *hierarchy) mkdir(rel string) error {
	_, err := ignoringEINTR(func() (int, error) { return 0, unix.Mkdirat(h.fd, rel, 0o755) })
	return pathError("mkdir", h.path(rel), err)
}

func (h *hierarchy) rmdir(rel string) error {
	_, err := ignoringEINTR(func() (int, error) { return 0, unix.Unlinkat(h.fd, rel, unix.AT_REMOVEDIR) })
	return pathError("rmdir", h.path(rel), err)
}

// open opens the file or directory rel. The caller owns the descriptor.
// cgroup file systems hold no symbolic links, so plain openat(2) stays inside.
func (h *hierarchy) open(rel string, flags int) (int, error) {
	fd, err := ignoringEINTR(func() (int, error) { return unix.Openat(h.fd, rel, flags|unix.O_CLOEXEC, 0) })
	return fd, pathError("open", h.path(rel), err)
}

// write sends data in one write(2), as cgroup files want it.
func (h *hierarchy) write(rel, data string) error {
	fd, err := h.open(rel, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return h.writeTo(fd, rel, data)
}

func (h *hierarchy) writeTo(fd int, rel, data string) error {
	_, err := ignoringEINTR(func() (int, error) { return unix.Write(fd, []byte(data)) })
	if err != nil {
		return fmt.Errorf("write %q: %w", data, pathError("write", h.path(rel), err))
	}
	return nil
}

// read returns the whole content of the file rel.
func (h *hierarchy) read(rel string) (string, error) {
	fd, err := h.open(rel, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var data []byte
	buf := make([]byte, 4096)
	for {
		n, err := ignoringEINTR(func() (int, error) { return unix.Read(fd, buf) })
		if err != nil {
			return "", pathError("read", h.path(rel), err)
		}
		if n == 0 {
			return string(data), nil
		}
		data = append(data, buf[:n]...)
	}
}

// children names the sub-cgroups of rel.
func (h *hierarchy) children(rel string) ([]string, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(h.fd, rel, &st, 0); err != nil {
		return nil, pathError("stat", h.path(rel), err)
	}
	// kernfs counts sub-directories in the link count, which saves
	// listing some forty files in the usual case of no sub-cgroup.
	if st.Nlink == 2 {
		return nil, nil
	}
	fd, err := h.open(rel, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	dir := os.NewFile(uintptr(fd), h.path(rel))
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

func (h *hierarchy) exists(rel string) bool {
	return unix.Faccessat(h.fd, rel, unix.F_OK, 0) == nil
}

func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: name, Err: err}
}

// gone reports that the cgroup was removed: ENOENT for its name, ENODEV for an open file.
func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV)
}

func (h *hierarchy) has(controller string) bool {
	return slices.Contains(h.Controllers, controller)
}
