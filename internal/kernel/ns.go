// SPDX-License-Identifier: Apache-2.0

package kernel

import "golang.org/x/sys/unix"

// Setns moves the calling thread into the namespace fd, which must be of the type
// nstype (CLONE_NEW*; 0 accepts any), or into those namespaces of the process whose
// pidfd fd is that nstype names (Linux 5.8): setns(2). The thread must be locked and
// must not be reused by the Go runtime afterwards.
func Setns(fd, nstype int, name string) error {
	return wrap("setns", name, retry(func() error { return unix.Setns(fd, nstype) }))
}

// Unshare gives the calling thread its own copy of what flags name: unshare(2).
func Unshare(flags int, name string) error {
	return wrap("unshare", name, retry(func() error { return unix.Unshare(flags) }))
}
