// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"syscall"

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
