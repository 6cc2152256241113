// SPDX-License-Identifier: Apache-2.0

package kernel

import "golang.org/x/sys/unix"

// CloseOwnAbove gives the calling thread a descriptor table of its own, without the descriptors from first on: close_range(2)
// with CLOSE_RANGE_UNSHARE, Linux 5.9. Those are not even copied. With a table that no other thread shares they
// are closed and the table stays as large as it is.
func CloseOwnAbove(first int) error {
	err := unix.CloseRange(uint(first), ^uint(0), unix.CLOSE_RANGE_UNSHARE)
	if err != nil {
		return &Error{Call: "close_range", Err: err}
	}
	return nil
}
