// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// copyUp fills a new tmpfs with what the image has at destination: the mount option
// tmpcopyup. Directories, files, links and device nodes keep mode and owner.
func (s *session) copyUp(tree int, destination string) error {
	from, err := kernel.OpenInRoot(s.root, destination, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(from)
	to, err := kernel.OpenBeneath(tree, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(to)
	var st unix.Stat_t
	if err := unix.Fstat(from, &st); err != nil {
		return err
	}
	if err := own(to, &st); err != nil {
		return err
	}
	return copyDirectory(from, to)
}

// copyDirectory copies the entries of the open directory from into to.
func copyDirectory(from, to int) error {
	return eachEntry(from, func(name string) error {
		var st unix.Stat_t
		if err := unix.Fstatat(from, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &kernel.Error{Call: "fstatat", Object: name, Err: err}
		}
		return copyEntry(from, to, name, &st)
	})
}

func copyEntry(from, to int, name string, st *unix.Stat_t) error {
	var err error
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return copySubdirectory(from, to, name, st)
	case unix.S_IFREG:
		return copyFile(from, to, name, st)
	case unix.S_IFLNK:
		err = copyLink(from, to, name)
	default:
		err = unix.Mknodat(to, name, st.Mode, int(st.Rdev))
	}
	if err != nil {
		return &kernel.Error{Call: "copy", Object: name, Err: err}
	}
	if err := unix.Fchownat(to, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &kernel.Error{Call: "fchownat", Object: name, Err: err}
	}
	return nil
}

func copySubdirectory(from, to int, name string, st *unix.Stat_t) error {
	if err := makeDirectory(to, name); err != nil {
		return err
	}
	flags := uint64(unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW)
	in, err := kernel.OpenBeneath(from, name, flags, 0)
	if err != nil {
		return err
	}
	defer unix.Close(in)
	out, err := kernel.OpenBeneath(to, name, flags, 0)
	if err != nil {
		return err
	}
	defer unix.Close(out)
	if err := own(out, st); err != nil {
		return err
	}
	return copyDirectory(in, out)
}

func copyFile(from, to int, name string, st *unix.Stat_t) error {
	in, err := kernel.OpenBeneath(from, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(in)
	out, err := kernel.OpenBeneath(to, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(out)
	for {
		n, err := unix.Sendfile(out, in, nil, 1<<20)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return &kernel.Error{Call: "sendfile", Object: name, Err: err}
		}
		if n == 0 {
			return own(out, st)
		}
	}
}

func copyLink(from, to int, name string) error {
	var buf [unix.PathMax]byte
	n, err := unix.Readlinkat(from, name, buf[:])
	if err != nil {
		return err
	}
	return unix.Symlinkat(string(buf[:n]), to, name)
}

// own gives an open file the owner and then the mode of st: chown clears set-id bits.
func own(fd int, st *unix.Stat_t) error {
	if err := unix.Fchown(fd, int(st.Uid), int(st.Gid)); err != nil {
		return &kernel.Error{Call: "fchown", Err: err}
	}
	if err := unix.Fchmod(fd, st.Mode&0o7777); err != nil {
		return &kernel.Error{Call: "fchmod", Err: err}
	}
	return nil
}

// eachEntry calls visit for every name in the open directory dir: getdents64(2).
func eachEntry(dir int, visit func(name string) error) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.Getdents(dir, buf)
		if err != nil {
			return &kernel.Error{Call: "getdents64", Err: err}
		}
		if n == 0 {
			return nil
		}
		if err := parseEntries(buf[:n], visit); err != nil {
			return err
		}
	}
}

func parseEntries(b []byte, visit func(name string) error) error {
	const nameOffset = int(unsafe.Offsetof(unix.Dirent{}.Name))
	for len(b) > nameOffset {
		size := int(b[16]) | int(b[17])<<8 // d_reclen
		if size <= nameOffset || size > len(b) {
			return errors.New("getdents64: malformed entry")
		}
		name := cString(b[nameOffset:size])
		b = b[size:]
		if name == "." || name == ".." {
			continue
		}
		if err := visit(name); err != nil {
			return err
		}
	}
	return nil
}

func cString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
