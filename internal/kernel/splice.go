// SPDX-License-Identifier: Apache-2.0

package kernel

import "golang.org/x/sys/unix"

// Splice moves at most max bytes from one descriptor to the other, one of which is a pipe:
// splice(2). What has left the one has entered the other, also when the caller is killed
// meanwhile. It does not block if a descriptor that is no pipe has O_NONBLOCK: EAGAIN says
// that there is nothing to move or no place for it. 0 is the end of from. Terminals can be
// spliced before Linux 5.10 and since 5.11, otherwise it is EINVAL, as without any pipe.
func Splice(from, to, max int) (int, error) {
	var n int64
	err := retry(func() (err error) {
		n, err = unix.Splice(from, nil, to, nil, max, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		return err
	})
	if err != nil {
		return 0, wrap("splice", "", err)
	}
	return int(n), nil
}

// ReadFD is read(2). The error is a bare errno.
func ReadFD(fd int, b []byte) (int, error) {
	return retryFD(func() (int, error) { return unix.Read(fd, b) })
}

// WriteFD is write(2), which may write less than all. The error is a bare errno.
func WriteFD(fd int, b []byte) (int, error) {
	return retryFD(func() (int, error) { return unix.Write(fd, b) })
}

// DupFD returns a second descriptor, with close-on-exec: fcntl(2) F_DUPFD_CLOEXEC. It is no
// os.File, so that nothing else watches it.
func DupFD(fd int) (int, error) {
	duplicate, err := retryFD(func() (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0) })
	return duplicate, wrap("fcntl", "F_DUPFD_CLOEXEC", err)
}

// Writable reports whether fd takes more, and whether it never will again because the other
// side is gone: poll(2) with POLLOUT.
func Writable(fd int) (writable, gone bool, err error) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	err = retry(func() error { _, err := unix.Poll(fds, 0); return err })
	events := fds[0].Revents
	writable = events&unix.POLLOUT != 0
	return writable, !writable && events&(unix.POLLHUP|unix.POLLERR) != 0, wrap("poll", "", err)
}

// EpollReadable watches fd until it is readable once: epoll_ctl(2) with EPOLLONESHOT. Unlike
// EpollAdd it does not matter whether epoll knows fd. EPERM when fd is always readable,
// as ordinary files are.
func EpollReadable(epoll, fd int, token uint64) error {
	return epollArm(epoll, fd, epollEvent(unix.EPOLLIN|unix.EPOLLONESHOT, token))
}

// EpollWritable is EpollReadable for writing.
func EpollWritable(epoll, fd int, token uint64) error {
	return epollArm(epoll, fd, epollEvent(unix.EPOLLOUT|unix.EPOLLONESHOT, token))
}

func epollArm(epoll, fd int, event *unix.EpollEvent) error {
	err := retry(func() error { return unix.EpollCtl(epoll, unix.EPOLL_CTL_MOD, fd, event) })
	if err == unix.ENOENT { //nolint:errorlint // straight from the system call
		err = retry(func() error { return unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, event) })
	}
	return wrap("epoll_ctl", "", err)
}
