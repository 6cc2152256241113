// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

var errNotRegular = fmt.Errorf("not a regular file: %w", unix.EINVAL)

// ReadSmall reads the first limit bytes of the regular file name in the directory dir. A last component that is
// a symbolic link is not followed (ELOOP), nothing but regular files is read (EINVAL), and no FIFO is waited for.
func ReadSmall(dir int, name string, limit int) ([]byte, error) {
	fd, err := openRegular(dir, name, unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return readUpTo(fd, name, limit)
}

func readUpTo(fd int, name string, limit int) ([]byte, error) {
	data := make([]byte, 0, min(limit, 512))
	for len(data) < limit {
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
		free := data[len(data):min(cap(data), limit)]
		n, err := retryFD(func() (int, error) { return unix.Read(fd, free) })
		if err != nil {
			return nil, wrap("read", name, err)
		}
		data = data[:len(data)+n]
		if n < len(free) { // a regular file has no more
			break
		}
	}
	return data, nil
}

// CreateSmall makes the file name in the directory dir with this content, or fails with EEXIST, whatever kind of
// file is there. Where the file system has O_TMPFILE (Linux 3.11), nobody ever sees it without its content, not even after a crash.
func CreateSmall(dir int, name string, data []byte, mode uint32) error {
	fd, err := openAt(dir, ".", unix.O_TMPFILE|unix.O_WRONLY, mode)
	if err != nil {
		return createVisible(dir, name, data, mode)
	}
	defer unix.Close(fd)
	if err := writeAll(fd, name, data, 0); err != nil {
		return err
	}
	err = retry(func() error { return unix.Linkat(fd, "", dir, name, unix.AT_EMPTY_PATH) })
	if errors.Is(err, unix.ENOENT) { // without CAP_DAC_READ_SEARCH
		link := "/proc/self/fd/" + strconv.Itoa(fd)
		err = retry(func() error { return unix.Linkat(unix.AT_FDCWD, link, dir, name, unix.AT_SYMLINK_FOLLOW) })
	}
	return wrap("linkat", name, err)
}

func createVisible(dir int, name string, data []byte, mode uint32) error {
	fd, err := openAt(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := writeAll(fd, name, data, 0); err != nil {
		return errors.Join(err, UnlinkAt(dir, name))
	}
	return nil
}

// ReplaceSmall makes data the content of the regular file name in the directory dir, which is made when missing.
// It is not truncated first: ext4 would write such a file to the disk when it is closed.
func ReplaceSmall(dir int, name string, data []byte, mode uint32) error {
	fd, err := openRegular(dir, name, unix.O_WRONLY|unix.O_CREAT, mode)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := writeAll(fd, name, data, 0); err != nil {
		return err
	}
	stat, err := Fstat(fd, name)
	if err != nil || stat.Size == int64(len(data)) {
		return err
	}
	return wrap("ftruncate", name, retry(func() error { return unix.Ftruncate(fd, int64(len(data))) }))
}

// UnlinkAt removes the file name from the directory dir: unlinkat(2).
func UnlinkAt(dir int, name string) error {
	return wrap("unlinkat", name, retry(func() error { return unix.Unlinkat(dir, name, 0) }))
}

// OpenLock opens the regular file name in the directory dir, made when missing, for TryLock.
func OpenLock(dir int, name string, mode uint32) (int, error) {
	return openRegular(dir, name, unix.O_RDONLY|unix.O_CREAT, mode)
}

// TryLock locks the file behind fd for this open file description: flock(2) LOCK_EX|LOCK_NB. EWOULDBLOCK when
// somebody else has it.
func TryLock(fd int, name string) error {
	return wrap("flock", name, retry(func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) }))
}

// Unlock gives the lock up, also when a child has a copy of the descriptor.
func Unlock(fd int, name string) error {
	return wrap("flock", name, retry(func() error { return unix.Flock(fd, unix.LOCK_UN) }))
}

// SetModified sets the time of last modification of the directory dir: utimensat(2).
func SetModified(dir int, at unix.Timespec) error {
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, at}
	return wrap("utimensat", ".", retry(func() error { return unix.UtimesNanoAt(dir, ".", times, 0) }))
}

// MayCreateIn is nil when files can be made in the directory at path: access(2). EROFS when it is on a
// read-only file system, which root is otherwise not told before it tries.
func MayCreateIn(path string) error {
	err := retry(func() error { return unix.Access(path, unix.W_OK|unix.X_OK) })
	return wrap("access", path, err)
}

func openRegular(dir int, name string, flags int, mode uint32) (int, error) {
	fd, err := openAt(dir, name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, mode)
	if err != nil {
		return -1, err
	}
	stat, err := Fstat(fd, name)
	if err == nil && stat.Mode&unix.S_IFMT != unix.S_IFREG {
		err = wrap("open", name, errNotRegular)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func openAt(dir int, name string, flags int, mode uint32) (int, error) {
	fd, err := retryFD(func() (int, error) { return unix.Openat(dir, name, flags|unix.O_CLOEXEC, mode) })
	return fd, wrap("openat", name, err)
}

func writeAll(fd int, name string, data []byte, offset int64) error {
	for len(data) > 0 {
		n, err := retryFD(func() (int, error) { return unix.Pwrite(fd, data, offset) })
		if err != nil {
			return wrap("write", name, err)
		}
		data, offset = data[n:], offset+int64(n)
	}
	return nil
}
