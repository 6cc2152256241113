// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
)

// invalid is a mistake in the spec.
func invalid(format string, args ...any) error {
	return classed(errdefs.ErrInvalidArgument, format, args...)
}

// unsupported is something the spec may ask for and Sardine does not do.
func unsupported(format string, args ...any) error {
	return classed(errdefs.ErrNotImplemented, format, args...)
}

// unready is something this host cannot do.
func unready(format string, args ...any) error {
	return classed(errdefs.ErrFailedPrecondition, format, args...)
}

func notFound(format string, args ...any) error {
	return classed(errdefs.ErrNotFound, format, args...)
}

func classed(class error, format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, class)...)
}

// checkText refuses the one byte that no system call can take.
func checkText(field, s string) error {
	if strings.IndexByte(s, 0) >= 0 {
		return invalid("%s: %q contains a NUL byte", field, s)
	}
	return nil
}

// checkAbsolute refuses what is not an absolute path.
func checkAbsolute(field, path string) error {
	if !strings.HasPrefix(path, "/") {
		return invalid("%s: %q is not an absolute path", field, path)
	}
	return checkText(field, path)
}
