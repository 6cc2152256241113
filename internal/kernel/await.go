// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Await returns when done does: it is asked at once and again after every event of f, whatever poll(2) tells of it. f must
// have been made an os.File when it did not block any more, for then the Go runtime's poller waits for it, and no
// thread does. When ctx ends so does Await, with its cause, and f is of no use for another.
func Await(ctx context.Context, f *os.File, done func(fd int) (bool, error)) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return wrap("await", f.Name(), err)
	}
	stop := context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var errDone error
	err = conn.Read(func(fd uintptr) (over bool) {
		over, errDone = done(int(fd))
		return over || errDone != nil
	})
	if errDone != nil {
		return errDone
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return context.Cause(ctx)
	}
	return wrap("await", f.Name(), err)
}

// AwaitPidfd returns when the process, or thread, of pidfd has ended, or with ctx's cause.
func AwaitPidfd(ctx context.Context, pidfd int) error {
	own, err := DupFD(pidfd)
	if err != nil {
		return err
	}
	if err := SetNonblock(own, true); err != nil {
		unix.Close(own)
		return err
	}
	f := os.NewFile(uintptr(own), "pidfd")
	defer f.Close()
	return Await(ctx, f, Readable)
}

// Readable reports whether fd is readable now: poll(2). A pidfd is when its process has ended.
func Readable(fd int) (bool, error) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	err := retry(func() error { _, err := unix.Poll(fds, 0); return err })
	return fds[0].Revents != 0, wrap("poll", "", err)
}
