// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// maxLinks bounds the symbolic links followed on the way to a path, as the kernel
// does for its own lookups.
const maxLinks = 40

// lookup opens path in the container as O_PATH, following links inside the root.
func (s *session) lookup(path string) (int, error) {
	return kernel.OpenInRoot(s.root, path, unix.O_PATH, 0)
}

// target opens the place where something is to be mounted and makes it, with its
// parents, when it is missing: a file or a directory.
func (s *session) target(path string, file bool) (int, error) {
	fd, err := s.lookup(path)
	if !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	if !file {
		return s.directory(path)
	}
	if err := s.makeFile(path, maxLinks); err != nil {
		return -1, err
	}
	return s.lookup(path)
}

// makeFile makes an empty file with its parents, never opening one that somebody else
// put there.
func (s *session) makeFile(path string, links int) error {
	dir, name := split(path)
	parent, err := s.directory(dir)
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	if target, ok := linkTarget(parent, name); ok {
		if links == 0 {
			return &kernel.Error{Call: "mknod", Object: path, Err: unix.ELOOP}
		}
		return s.makeFile(from(dir, target), links-1)
	}
	err = unix.Mknodat(parent, name, unix.S_IFREG|0o644, 0)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return &kernel.Error{Call: "mknodat", Object: name, Err: err}
	}
	return nil
}

// directory opens path as a directory and makes what is missing of it. Each step
// looks the path up again from the root, in the kernel, so that a link put in
// place meanwhile can redirect it only within the root.
func (s *session) directory(path string) (int, error) { return s.makePath(path, maxLinks) }

func (s *session) makePath(path string, links int) (int, error) {
	flags := uint64(unix.O_PATH | unix.O_DIRECTORY)
	fd, err := kernel.OpenInRoot(s.root, path, flags, 0)
	if !errors.Is(err, unix.ENOENT) || path == "/" || path == "" {
		return fd, err
	}
	dir, name := split(path)
	parent, err := s.makePath(dir, links)
	if err != nil {
		return -1, err
	}
	defer unix.Close(parent)
	if target, ok := linkTarget(parent, name); ok { // a link to what does not exist yet
		if links == 0 {
			return -1, &kernel.Error{Call: "mkdir", Object: path, Err: unix.ELOOP}
		}
		return s.makePath(from(dir, target), links-1)
	}
	if err := makeDirectory(parent, name); err != nil {
		return -1, err
	}
	return kernel.OpenInRoot(s.root, path, flags, 0)
}

// linkTarget reads the symbolic link name in parent; ok is false when it is none.
func linkTarget(parent int, name string) (target string, ok bool) {
	var buf [unix.PathMax]byte
	n, err := unix.Readlinkat(parent, name, buf[:])
	return string(buf[:max(n, 0)]), err == nil && n > 0
}

// makeDirectory makes name in parent; it may exist by now.
func makeDirectory(parent int, name string) error {
	err := unix.Mkdirat(parent, name, 0o755)
	if err != nil && err != unix.EEXIST {
		return &kernel.Error{Call: "mkdirat", Object: name, Err: err}
	}
	return nil
}

// from is the path of a link's target, seen from the directory dir.
func from(dir, target string) string {
	if target[0] == '/' {
		return target
	}
	return dir + target
}

// split returns the directory and the last element of path.
func split(path string) (dir, name string) {
	for len(path) > 1 && path[len(path)-1] == '/' {
		path = path[:len(path)-1]
	}
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[:i+1], path[i+1:]
		}
	}
	return "/", path
}
