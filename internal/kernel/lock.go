// SPDX-License-Identifier: Apache-2.0

package kernel

import "golang.org/x/sys/unix"

// LockFD opens the file at path, made when missing, and locks it: flock(2) LOCK_EX|LOCK_NB. The
// lock belongs to the open file description and ends with its last descriptor, whoever has that.
// EWOULDBLOCK when somebody else has it.
func LockFD(path string) (int, error) {
	fd, err := OpenFD(path, unix.O_RDWR|unix.O_CREAT, 0o600)
	if err != nil {
		return -1, err
	}
	if err := retry(func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) }); err != nil {
		unix.Close(fd)
		return -1, wrap("flock", path, err)
	}
	return fd, nil
}
