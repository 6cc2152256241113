// SPDX-License-Identifier: Apache-2.0

package kernel

import "golang.org/x/sys/unix"

// CloseOnExec sets FD_CLOEXEC of n descriptors that follow each other: close_range(2) where
// the kernel, Linux 5.11, can.
func CloseOnExec(first, n int) {
	if n <= 0 || unix.CloseRange(uint(first), uint(first+n-1), unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	for fd := first; fd < first+n; fd++ {
		unix.CloseOnExec(fd)
	}
}
