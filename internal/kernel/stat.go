// SPDX-License-Identifier: Apache-2.0

package kernel

import "golang.org/x/sys/unix"

// Fstat returns what is known of the file behind fd, which may be an O_PATH descriptor: fstat(2).
func Fstat(fd int, name string) (stat unix.Stat_t, err error) {
	err = retry(func() error { return unix.Fstat(fd, &stat) })
	return stat, wrap("fstat", name, err)
}
