// SPDX-License-Identifier: Apache-2.0

package kernel

import "golang.org/x/sys/unix"

// AccessMode returns O_RDONLY, O_WRONLY or O_RDWR, as fd was opened: fcntl(2) F_GETFL.
func AccessMode(fd int) (int, error) {
	flags, err := retryFD(func() (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0) })
	return flags & unix.O_ACCMODE, wrap("fcntl", "F_GETFL", err)
}

// IsTerminalMaster reports whether fd is the master of a pseudoterminal: ioctl_tty(2) TIOCGPTN.
func IsTerminalMaster(fd int) bool {
	_, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	return err == nil
}
