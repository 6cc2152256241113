// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"fmt"

	"github.com/containerd/errdefs"
)

// invalid is a mistake in the request. The format starts with the field's name.
func invalid(format string, args ...any) error {
	return classed(errdefs.ErrInvalidArgument, format, args...)
}

// unsupported is something a request may ask for and Sardine does not do.
func unsupported(format string, args ...any) error {
	return classed(errdefs.ErrNotImplemented, format, args...)
}

// unready is something this node cannot do or does not have.
func unready(format string, args ...any) error {
	return classed(errdefs.ErrFailedPrecondition, format, args...)
}

func classed(class error, format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, class)...)
}

// joined puts one of the errors the kubelet knows by its text in front of another.
func joined(known, err error) error {
	return fmt.Errorf("%w: %w", known, err)
}

// quoted shows a value of a request, which may be of any length.
func quoted(s string) string {
	const enough = 100
	if len(s) > enough {
		return fmt.Sprintf("%.100q... (%d bytes)", s, len(s))
	}
	return fmt.Sprintf("%q", s)
}
