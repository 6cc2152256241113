// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// PeerPID returns the process at the other end of a connected unix socket, the one that
// called listen(2) if it is the server: unix(7) SO_PEERCRED. 0 if it is in no pid namespace
// that is visible from here.
func PeerPID(conn syscall.Conn) (int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if failed != nil {
		return 0, wrap("getsockopt", "SO_PEERCRED", failed)
	}
	return int(cred.Pid), nil
}
