// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Error is a failed system call: its name, the object it was applied to and the errno.
// errors.Is matches the errno, so errors.Is(err, unix.ENOENT) works.
type Error struct {
	Call   string // as in the man page, e.g. "move_mount"
	Object string // path, file system or number the call was applied to; may be empty
	Err    error  // usually a syscall.Errno
}

func (e *Error) Error() string {
	if e.Object == "" {
		return e.Call + ": " + e.Err.Error()
	}
	return e.Call + " " + e.Object + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// wrap returns nil for a nil err, so that a wrapper can end in one line.
func wrap(call, object string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Call: call, Object: object, Err: err}
}

// retry repeats call while a signal interrupts it.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// retryFD is retry for calls that return a descriptor.
func retryFD(call func() (int, error)) (int, error) {
	for {
		fd, err := call()
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}
