// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"errors"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/plan"
)

// maxHookOutput is how much of a failed hook's stderr is reported, in bytes.
const maxHookOutput = 4096

// runHook runs a hook with the container's state on its stdin and waits for it.
// A hook that fails, or runs longer than its timeout, is an error.
func runHook(h *plan.Hook, content []byte) error {
	state, err := memory("hook-state", content)
	if err != nil {
		return err
	}
	defer unix.Close(state)
	stderr, err := memory("hook-stderr", nil)
	if err != nil {
		return err
	}
	defer unix.Close(stderr)

	pidfd := -1
	pid, err := syscall.ForkExec(h.Path, h.Args, &syscall.ProcAttr{
		Env:   h.Env,
		Files: []uintptr{uintptr(state), uintptr(stderr), uintptr(stderr)},
		Sys:   &syscall.SysProcAttr{PidFD: &pidfd, Setpgid: true},
	})
	if err != nil {
		return errors.New(h.Path + ": " + err.Error())
	}
	defer unix.Close(pidfd)
	timedOut := waitTimeout(pidfd, h.Timeout)
	if timedOut {
		_ = unix.Kill(-pid, unix.SIGKILL)
	}
	var status unix.WaitStatus
	if _, err := retryWait(pid, &status); err != nil {
		return err
	}
	switch {
	case timedOut:
		return errors.New(h.Path + ": timed out after " + strconv.FormatInt(h.Timeout, 10) + " s")
	case status.Exited() && status.ExitStatus() == 0:
		return nil
	}
	return errors.New(h.Path + ": " + describe(status) + ": " + contents(stderr))
}

// memory returns an anonymous file with the given content, read from the start.
func memory(name string, content []byte) (int, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return -1, err
	}
	if _, err := unix.Pwrite(fd, content, 0); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func contents(fd int) string {
	buf := make([]byte, maxHookOutput)
	n, _ := unix.Pread(fd, buf, 0) // an unreadable message is an empty one
	return string(buf[:max(n, 0)])
}

// waitTimeout waits until the process of pidfd has ended and reports whether seconds
// passed before; 0 seconds is forever.
func waitTimeout(pidfd int, seconds int64) bool {
	if seconds <= 0 {
		return false
	}
	deadline := time.Now().Add(time.Duration(seconds) * time.Second)
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return true
		}
		n, err := unix.Poll(fds, int(left.Milliseconds())+1)
		if err != unix.EINTR {
			return n == 0
		}
	}
}

func retryWait(pid int, status *unix.WaitStatus) (int, error) {
	for {
		n, err := unix.Wait4(pid, status, 0, nil)
		if err != unix.EINTR {
			return n, err
		}
	}
}

func describe(s unix.WaitStatus) string {
	if s.Signaled() {
		return "killed by signal " + strconv.Itoa(int(s.Signal()))
	}
	return "exit status " + strconv.Itoa(s.ExitStatus())
}
