// SPDX-License-Identifier: Apache-2.0

package podstats

import (
	"bytes"
	"encoding/binary"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxDepth bounds the descriptors of a walk. What lies deeper is not counted.
	maxDepth = 1000
	// maxLinks bounds the memory for files with several names. Of more of them each name counts.
	maxLinks = 1 << 16
)

// walk adds up a directory tree that a container may change at the same time. It can be interrupted, and then
// holds memory in proportion to the depth it has reached, and no descriptors.
//
// Directories are opened one name at a time and never through a symbolic link, so that the
// container cannot lead the walk outside.
type walk struct {
	sum
	path  []level // from the top to the directory being read
	links map[file]struct{}
}

// level is a directory on the way down.
type level struct {
	name     string
	fd       int      // -1 while the walk is interrupted
	position int64    // where to read on, a cookie of getdents(2)
	children []string // directories read already and not yet entered
}

// file names an inode.
type file struct{ dev, ino uint64 }

func newWalk(dir string) *walk {
	w := &walk{path: []level{{name: dir, fd: -1}}, links: map[file]struct{}{}}
	var st unix.Stat_t
	if unix.Lstat(dir, &st) == nil {
		w.add(&st)
	}
	return w
}

// run goes on until deadline and reports whether the walk is complete.
func (w *walk) run(deadline time.Time) bool {
	w.reopen()
	defer w.interrupt()
	for len(w.path) > 0 {
		if time.Now().After(deadline) {
			return false
		}
		w.step()
	}
	return true
}

// step enters one more directory, reads one more buffer of the current one, or leaves it.
func (w *walk) step() {
	here := &w.path[len(w.path)-1]
	if n := len(here.children); n > 0 {
		name := here.children[n-1]
		here.children = here.children[:n-1]
		if fd, err := openDirectory(here.fd, name); err == nil {
			w.path = append(w.path, level{name: name, fd: fd})
		}
		return
	}
	if !w.readSome(here) {
		unix.Close(here.fd)
		w.path = w.path[:len(w.path)-1]
	}
}

// readSome counts what one getdents(2) gives, and notes the directories. It is false at the end.
func (w *walk) readSome(here *level) bool {
	var buf [4096]byte // small, because its directories are remembered on each level
	n, err := unix.Getdents(here.fd, buf[:])
	if err == unix.EINTR {
		return true
	}
	if err != nil || n <= 0 {
		return false
	}
	for rest := buf[:n]; len(rest) > 0; {
		var e entry
		if e, rest = nextEntry(rest); e.name != "" {
			here.position = e.next
			w.visit(here, e.name)
		}
	}
	return true
}

func (w *walk) visit(here *level, name string) {
	var st unix.Stat_t
	if name == "." || name == ".." || unix.Fstatat(here.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return
	}
	w.add(&st)
	if st.Mode&unix.S_IFMT == unix.S_IFDIR && len(w.path) < maxDepth {
		here.children = append(here.children, name)
	}
}

func (w *walk) add(st *unix.Stat_t) {
	if st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		f := file{uint64(st.Dev), st.Ino} //nolint:unconvert // 32 bits on some architectures
		if _, seen := w.links[f]; seen {
			return
		}
		if len(w.links) < maxLinks {
			w.links[f] = struct{}{}
		}
	}
	w.inodes++
	w.bytes += uint64(st.Blocks) * 512
}

// reopen opens the directories of an interrupted walk again, as far as they still exist.
func (w *walk) reopen() {
	parent := unix.AT_FDCWD
	for i := range w.path {
		here := &w.path[i]
		fd, err := openDirectory(parent, here.name)
		if err == nil && here.position != 0 {
			if _, err = unix.Seek(fd, here.position, unix.SEEK_SET); err != nil {
				unix.Close(fd)
			}
		}
		if err != nil {
			w.path = w.path[:i]
			return
		}
		here.fd, parent = fd, fd
	}
}

func (w *walk) interrupt() {
	for i := range w.path {
		unix.Close(w.path[i].fd)
		w.path[i].fd = -1
	}
}

func openDirectory(parent int, name string) (int, error) {
	for {
		fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_NOATIME|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, os.NewSyscallError("openat", err)
		}
	}
}

// entry is a struct linux_dirent64, getdents(2).
type entry struct {
	name string
	next int64
}

// nextEntry takes the first entry off buf. Nothing is left after one that makes no sense.
func nextEntry(buf []byte) (e entry, rest []byte) {
	const nameAt = 19 // after d_ino, d_off, d_reclen and d_type
	if len(buf) < nameAt {
		return entry{}, nil
	}
	length := int(binary.NativeEndian.Uint16(buf[16:]))
	if length < nameAt || length > len(buf) {
		return entry{}, nil
	}
	name, _, _ := bytes.Cut(buf[nameAt:length], []byte{0})
	return entry{string(name), int64(binary.NativeEndian.Uint64(buf[8:]))}, buf[length:]
}
