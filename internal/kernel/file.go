// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Open is open(2) with close-on-exec. Unlike os.OpenFile it leaves O_NONBLOCK as asked
// for: the flag belongs to the open file description, which a container shares, and a
// program does not expect EAGAIN from its stdout.
func Open(path string, flags int, mode uint32) (*os.File, error) {
	fd, err := retryFD(func() (int, error) { return unix.Open(path, flags|unix.O_CLOEXEC, mode) })
	if err != nil {
		return nil, wrap("open", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Reopen opens the file behind f again with other flags, by /proc/self/fd, so that it is
// the same one whatever has happened to its path meanwhile.
func Reopen(f *os.File, flags int) (*os.File, error) {
	link := "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
	fd, err := retryFD(func() (int, error) { return unix.Open(link, flags|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, wrap("open", f.Name(), err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// SetNonblock sets or clears O_NONBLOCK of fd: fcntl(2).
func SetNonblock(fd int, nonblocking bool) error {
	return wrap("fcntl", "O_NONBLOCK", unix.SetNonblock(fd, nonblocking))
}

// Dup returns a second descriptor of f, with close-on-exec: fcntl(2) F_DUPFD_CLOEXEC.
func Dup(f *os.File) (*os.File, error) {
	fd, err := retryFD(func() (int, error) { return unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0) })
	if err != nil {
		return nil, wrap("fcntl", "F_DUPFD_CLOEXEC "+f.Name(), err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// Fchown gives the file behind fd to uid, its group stays: fchown(2).
func Fchown(fd, uid int, name string) error {
	return wrap("fchown", name, retry(func() error { return unix.Fchown(fd, uid, -1) }))
}

// SetWindowSize sets the size of the terminal fd: ioctl_tty(2) TIOCSWINSZ.
func SetWindowSize(fd int, width, height uint16) error {
	size := unix.Winsize{Col: width, Row: height}
	return wrap("ioctl", "TIOCSWINSZ", retry(func() error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &size) }))
}

// HungUp reports whether all writers of the FIFO behind f, a reader, have come and gone:
// poll(2), POLLHUP. It is not the case when there was none yet.
func HungUp(f *os.File) (bool, error) {
	fds := []unix.PollFd{{Fd: int32(f.Fd())}}
	err := retry(func() error { _, err := unix.Poll(fds, 0); return err })
	return fds[0].Revents&unix.POLLHUP != 0, wrap("poll", f.Name(), err)
}
