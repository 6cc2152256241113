// SPDX-License-Identifier: Apache-2.0

package podlog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// retryAfter is how long a file that could not be written is left alone: a full file system
// may be slow to say that it is full.
const retryAfter = time.Second

// file is the log file of a container, open or to be opened again. Its lines are whole: a
// write that was cut short is taken back as far as the last line that is complete.
type file struct {
	path    string
	fd      int       // -1 while it cannot be opened
	retryAt time.Time // not before
}

// errPaused says that the time to try again has not come.
var errPaused = errors.New("log file is left alone for a while")

// openFile opens path to append entries to, made with 0640 when missing.
//
// Only a regular file will do. A device or a FIFO could block the daemon, and through a
// symbolic link somebody who may write to the directory would make root append to
// any file; the kubelet's names are no links. The file is looked at by O_PATH first, because to open
// may be enough to do harm.
func openFile(path string) (int, error) {
	for range 3 { // it may be made or removed by another meanwhile
		fd, err := openRegular(path)
		if errors.Is(err, unix.ENOENT) {
			fd, err = kernel.OpenFD(path, unix.O_RDWR|unix.O_APPEND|unix.O_CREAT|unix.O_EXCL, 0o640)
		}
		if errors.Is(err, unix.EEXIST) {
			continue
		}
		return fd, err
	}
	return -1, fmt.Errorf("open %s: somebody else makes and removes it: %w", path, errdefs.ErrUnavailable)
}

func openRegular(path string) (int, error) {
	fd, err := kernel.OpenFD(path, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fd)
	st, err := kernel.Stat(fd)
	if err != nil {
		return -1, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return -1, fmt.Errorf("log %s is not a regular file: %w", path, errdefs.ErrInvalidArgument)
	}
	return kernel.OpenAgain(fd, unix.O_RDWR|unix.O_APPEND)
}

// mend makes the file fd end with a newline: it takes back an entry that a daemon did not
// finish, whose text still waits in a FIFO or is counted as lost. Nobody may write meanwhile.
func mend(fd, limit int) error {
	st, err := kernel.Stat(fd)
	if err != nil || st.Size == 0 {
		return err
	}
	var last [1]byte
	if err := readAt(fd, last[:], st.Size-1); err != nil || last[0] == '\n' {
		return err
	}
	tail := make([]byte, min(st.Size, int64(limit+maxHeader+1)))
	if err := readAt(fd, tail, st.Size-int64(len(tail))); err != nil {
		return err
	}
	if end := bytes.LastIndexByte(tail, '\n'); end >= 0 || int(st.Size) == len(tail) {
		return truncate(fd, st.Size-int64(len(tail))+int64(end)+1)
	}
	_, err = writeAll(fd, []byte{'\n'}) // not a line of ours: it stays
	return err
}

// append writes entries. kept is how much of them is in the file now, whole lines. begin, which may
// be nil, is told the file and its size just before.
func (f *file) append(out []byte, limit int, now time.Time, begin func(unix.Stat_t)) (kept int, err error) {
	st, err := f.ready(limit, now)
	if err != nil {
		return 0, err
	}
	if begin != nil {
		begin(st)
	}
	n, err := writeAll(f.fd, out)
	if err == nil {
		return n, nil
	}
	kept = bytes.LastIndexByte(out[:n], '\n') + 1
	if kept < n {
		_ = truncate(f.fd, st.Size+int64(kept)) // mend tries again if this fails
	}
	f.pause(now)
	return kept, err
}

// ready opens the file if it is not. A file that has no name any more is of no use to
// anybody: its name is made again.
func (f *file) ready(limit int, now time.Time) (st unix.Stat_t, err error) {
	if f.fd >= 0 {
		if st, err = kernel.Stat(f.fd); err == nil && st.Nlink > 0 {
			return st, nil
		}
		f.close()
	}
	if now.Before(f.retryAt) {
		return st, errPaused
	}
	if f.fd, err = openFile(f.path); err == nil {
		err = mend(f.fd, limit)
	}
	if err == nil {
		st, err = kernel.Stat(f.fd)
	}
	if err != nil {
		f.pause(now)
	}
	return st, err
}

// rotated finds what was the log file when it had the id, under another name of the same directory, -1 when it is gone: it
// was renamed while no daemon ran.
func (f *file) rotated(id fifoID) int {
	dir := filepath.Dir(f.path)
	entries, err := os.ReadDir(dir)
	if f.path == "" || err != nil {
		return -1
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		path := filepath.Join(dir, e.Name())
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil || id != (fifoID{st.Dev, st.Ino}) {
			continue
		}
		fd, err := openRegular(path)
		switch {
		case err != nil:
			return -1
		case is(fd, id):
			return fd
		}
		unix.Close(fd) // another one has the name now
	}
	return -1
}

func (f *file) pause(now time.Time) {
	f.close()
	f.retryAt = now.Add(retryAfter)
}

// replace goes over to fd, another file of the same name or the same one.
func (f *file) replace(fd, limit int) error {
	if err := mend(fd, limit); err != nil {
		unix.Close(fd)
		return err
	}
	f.close()
	f.fd, f.retryAt = fd, time.Time{}
	return nil
}

func (f *file) close() {
	if f.fd >= 0 {
		unix.Close(f.fd)
	}
	f.fd = -1
}

// writeAll returns how much it wrote.
func writeAll(fd int, data []byte) (int, error) {
	written := 0
	for written < len(data) {
		n, err := unix.Write(fd, data[written:])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return written, fmt.Errorf("write: %w", err)
		case n == 0:
			return written, fmt.Errorf("write: %w", unix.EIO)
		}
		written += n
	}
	return written, nil
}

func readAt(fd int, data []byte, offset int64) error {
	for got := 0; got < len(data); {
		n, err := unix.Pread(fd, data[got:], offset+int64(got))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("read: %w", err)
		case n == 0:
			return nil // somebody has made it shorter
		}
		got += n
	}
	return nil
}

func truncate(fd int, size int64) error {
	for {
		if err := unix.Ftruncate(fd, size); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
