// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"syscall"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// classified is an error with the class that clients of the API see. Its text is
// that of the error.
type classified struct {
	error
	class error
}

func (c classified) Unwrap() []error { return []error{c.error, c.class} }

// classify gives an error that comes from a system call its errdefs class, unless it has
// one, so that a missing program is "not found" for a client too.
func classify(err error) error {
	var errno syscall.Errno
	if errdefs.Resolve(err) != errdefs.ErrUnknown || !errors.As(err, &errno) { //nolint:errorlint // the value Resolve returns for none
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
