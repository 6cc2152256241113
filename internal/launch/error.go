// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"errors"
	"syscall"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/plan"
)

// Error is why sardine-init gave up.
type Error struct{ plan.Failure }

func (e *Error) Error() string { return e.Stage + ": " + e.Message }

// Unwrap returns the errno of the system call that failed, or nil.
func (e *Error) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return syscall.Errno(e.Errno)
}

func failure(payload []byte) error {
	f, err := plan.DecodeFailure(payload)
	if err != nil {
		return err
	}
	return &Error{f}
}

// classified is an error with the class that clients of the API see. Its text is
// that of the error.
type classified struct {
	error
	class error
}

func (c classified) Unwrap() []error { return []error{c.error, c.class} }

// classify gives an error that comes from a system call its errdefs class, so that a
// missing program is "not found" for a client too.
func classify(err error) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err
	}
	if class := classOf(errno); class != nil {
		return classified{err, class}
	}
	return err
}

func classOf(errno syscall.Errno) error {
	switch errno {
	case unix.ENOENT:
		return errdefs.ErrNotFound
	case unix.EACCES, unix.EPERM:
		return errdefs.ErrPermissionDenied
	case unix.EINVAL, unix.ENOTDIR, unix.EISDIR, unix.ENAMETOOLONG, unix.E2BIG, unix.ENOEXEC, unix.ELOOP, unix.ENODEV, unix.ERANGE:
		return errdefs.ErrInvalidArgument
	case unix.ENOSPC, unix.EDQUOT, unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EAGAIN, unix.EUSERS:
		return errdefs.ErrResourceExhausted
	case unix.ENOSYS, unix.EOPNOTSUPP:
		return errdefs.ErrNotImplemented
	case unix.EROFS, unix.EBUSY, unix.ESTALE:
		return errdefs.ErrFailedPrecondition
	}
	return nil
}
