// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// OpenFD is Open for those who hold many descriptors: no os.File, which costs 200 bytes, and
// nothing that registers the descriptor with Go's own poller.
func OpenFD(path string, flags int, mode uint32) (int, error) {
	fd, err := retryFD(func() (int, error) { return unix.Open(path, flags|unix.O_CLOEXEC, mode) })
	return fd, wrap("open", path, err)
}

// OpenAgain opens the file behind fd again with other flags, by /proc/self/fd: a descriptor
// made with O_PATH becomes one to read and write with.
func OpenAgain(fd, flags int) (int, error) {
	return OpenFD("/proc/self/fd/"+strconv.Itoa(fd), flags, 0)
}

// Stat is fstat(2).
func Stat(fd int) (st unix.Stat_t, err error) {
	err = retry(func() error { return unix.Fstat(fd, &st) })
	return st, wrap("fstat", "", err)
}

// ScratchPipe makes a pipe that holds size bytes, or as many as the kernel grants, both
// ends nonblocking: pipe(2), fcntl(2) F_SETPIPE_SZ.
func ScratchPipe(size int) (read, write int, err error) {
	var ends [2]int
	if err := retry(func() error { return unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_NONBLOCK) }); err != nil {
		return -1, -1, wrap("pipe2", "", err)
	}
	_, _ = unix.FcntlInt(uintptr(ends[1]), unix.F_SETPIPE_SZ, size) // a smaller one makes smaller steps
	return ends[0], ends[1], nil
}

// Tee copies what waits in the pipe from, but at most max bytes, into the pipe to, and takes
// nothing away: tee(2). It does not block: 0 when from is empty, to is full or from has
// no writer.
func Tee(from, to, max int) (int, error) {
	for {
		n, err := unix.Tee(from, to, max, unix.SPLICE_F_NONBLOCK)
		switch {
		case err == nil:
			return int(n), nil
		case errors.Is(err, unix.EAGAIN):
			return 0, nil
		case !errors.Is(err, unix.EINTR):
			return 0, wrap("tee", "", err)
		}
	}
}

// Drop takes max bytes out of the pipe from without looking at them: splice(2) to null, a
// descriptor of /dev/null. It does not block and returns less when there is less.
func Drop(from, null, max int) (int, error) {
	dropped := 0
	for dropped < max {
		n, err := unix.Splice(from, nil, null, nil, max-dropped, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN), err == nil && n == 0:
			return dropped, nil
		case err != nil:
			return dropped, wrap("splice", "", err)
		}
		dropped += int(n)
	}
	return dropped, nil
}

// Waiting returns the number of bytes that wait in the pipe fd: ioctl(2) FIONREAD.
func Waiting(fd int) (int, error) {
	n, err := retryFD(func() (int, error) { return unix.IoctlGetInt(fd, unix.TIOCINQ) })
	return n, wrap("ioctl", "FIONREAD", err)
}

// NoWriter reports whether all writers of the FIFO fd, a reader, have come and gone, as
// HungUp does.
func NoWriter(fd int) (bool, error) {
	fds := []unix.PollFd{{Fd: int32(fd)}}
	err := retry(func() error { _, err := unix.Poll(fds, 0); return err })
	return fds[0].Revents&unix.POLLHUP != 0, wrap("poll", "", err)
}

// EventFD makes a descriptor that becomes readable for good by Signal: eventfd(2).
func EventFD() (int, error) {
	fd, err := retryFD(func() (int, error) { return unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK) })
	return fd, wrap("eventfd", "", err)
}

// Signal makes eventfd readable.
func Signal(eventfd int) error {
	return wrap("write", "eventfd", retry(func() error {
		_, err := unix.Write(eventfd, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		return err
	}))
}
