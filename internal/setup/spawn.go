// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/plan"
)

// spawn clones sardine-init again, with new namespaces that belong to the user
// namespace this process joined. The child is the daemon's (CLONE_PARENT), inherits
// every descriptor and starts by reading the Plan, which the daemon sends again.
func spawn(c *control, flags uint64) error {
	files := make([]uintptr, inherited())
	for i := range files {
		files[i] = uintptr(i)
	}
	pidfd := -1
	_, err := syscall.ForkExec("/proc/self/exe", []string{"sardine-init"}, &syscall.ProcAttr{
		Files: files,
		Env:   syscall.Environ(),
		Sys:   &syscall.SysProcAttr{Cloneflags: uintptr(flags) | unix.CLONE_PARENT, PidFD: &pidfd},
	})
	if err != nil {
		return err
	}
	return c.send(plan.Spawned, nil, pidfd)
}

// inherited counts the descriptors given to this process, which have no gaps.
func inherited() int {
	for fd := 0; ; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			return fd
		}
	}
}
