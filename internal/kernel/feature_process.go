// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// withPidfd runs fn with a pidfd of this process.
func withPidfd(fn func(pidfd int) error) error {
	pidfd, err := PidfdOpen(os.Getpid())
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	return fn(pidfd)
}

func probePidfd(string) error {
	return withPidfd(func(int) error { return nil })
}

func probePidfdSignal(string) error {
	return withPidfd(func(pidfd int) error { return PidfdSendSignal(pidfd, 0) })
}

// probePidfdWait waits for this process, which is no child of its own.
func probePidfdWait(string) error {
	return withPidfd(func(pidfd int) error {
		_, _, err := WaitPidfd(pidfd)
		return meansNo(meansYes(err, unix.ECHILD), unix.EINVAL)
	})
}

// probePidfdSetns enters the UTS namespace the thread is in already.
func probePidfdSetns(string) error {
	return withPidfd(func(pidfd int) error {
		return onOwnThread(func() error { return meansNo(Setns(pidfd, unix.CLONE_NEWUTS, "own pidfd"), unix.EINVAL) })
	})
}

// probePidfdExit lets a process end and asks for its status once it was reaped.
func probePidfdExit(string) error {
	return withStopped(&syscall.SysProcAttr{}, func(pid int) error {
		pidfd, err := PidfdOpen(pid)
		if err != nil {
			return err
		}
		defer unix.Close(pidfd)
		if err := endStopped(pid); err != nil {
			return err
		}
		status, ended, err := PidfdExitStatus(pidfd)
		switch {
		case err != nil:
			return meansNo(err, unix.ENOTTY, unix.EINVAL)
		case !ended || status.Signal != unix.SIGKILL:
			return unsupportedError{errors.New("PIDFD_GET_INFO does not tell how a process ended")}
		}
		return nil
	})
}

// probeCloneCgroup asks for a child in a cgroup that is no descriptor at all, which a
// kernel that knows the flag finds out late, and none gives a child.
func probeCloneCgroup(string) error {
	const cloneArgsSize = 88                            // CLONE_ARGS_SIZE_VER2
	args := [cloneArgsSize / 8]uint64{0: 0x2_0000_0000} // flags: CLONE_INTO_CGROUP
	args[4] = uint64(unix.SIGCHLD)                      // exit_signal
	args[10] = 1<<31 - 1                                // cgroup
	_, _, errno := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), cloneArgsSize, 0)
	return meansNo(meansYes(wrap("clone3", "CLONE_INTO_CGROUP", errno), unix.EBADF), unix.EINVAL, unix.E2BIG)
}

// probeMemfdExec makes the kind of file that sardine-init is run from.
func probeMemfdExec(string) error {
	fd, err := MemfdExec("sardine-probe")
	if err != nil {
		return meansNo(err, unix.EACCES) // vm.memfd_noexec=2
	}
	return unix.Close(fd)
}

// MemfdExec returns a new empty file in memory that may be sealed and executed:
// memfd_create(2), Linux 3.17. EACCES where the sysctl vm.memfd_noexec forbids it.
func MemfdExec(name string) (int, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := retryFD(func() (int, error) { return unix.MemfdCreate(name, flags|unix.MFD_EXEC) })
	if errors.Is(err, unix.EINVAL) { // before 6.3 all are executable and the flag is unknown
		fd, err = retryFD(func() (int, error) { return unix.MemfdCreate(name, flags) })
	}
	return fd, wrap("memfd_create", name, err)
}

func probeUserNamespace(string) error {
	err := withStopped(userNamespace(), func(int) error { return nil })
	// EINVAL: not built in. ENOSPC: user.max_user_namespaces is 0. EPERM: forbidden by
	// a sysctl of the distribution, if not for want of privileges.
	err = meansNo(err, unix.EINVAL, unix.ENOSPC)
	if os.Geteuid() == 0 {
		err = meansNo(err, unix.EPERM)
	}
	return err
}

// userNamespace are the attributes of a process in a user namespace that maps one id.
func userNamespace() *syscall.SysProcAttr {
	one := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 65534, Size: 1}}
	return &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: one, GidMappings: one}
}

func probeTimeNamespace(string) error {
	return onOwnThread(func() error { return meansNo(Unshare(unix.CLONE_NEWTIME, "time namespace"), unix.EINVAL) })
}

// probeSeccompNotify asks whether filters may return SECCOMP_RET_USER_NOTIF.
func probeSeccompNotify(string) error {
	const getActionAvail = 2
	action := uint32(unix.SECCOMP_RET_USER_NOTIF)
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, getActionAvail, 0, uintptr(unsafe.Pointer(&action)))
	return meansNo(wrap("seccomp", "SECCOMP_GET_ACTION_AVAIL", errnoError(errno)), unix.EINVAL, unix.EOPNOTSUPP)
}

func errnoError(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

// onOwnThread is [OnThread] for a function that may fail.
func onOwnThread(fn func() error) (err error) {
	OnThread(func() { err = fn() })
	return err
}

// withStopped runs fn with a child that has never run: a traced process stops at its exec.
// The child is this program, the one file sure to be there.
func withStopped(attr *syscall.SysProcAttr, fn func(pid int) error) error {
	attr.Ptrace = true
	return onOwnThread(func() error { // the tracer is a thread, and the child dies with it
		self := []string{"/proc/self/exe"}
		pid, err := syscall.ForkExec(self[0], self, &syscall.ProcAttr{Sys: attr})
		if err != nil {
			return wrap("clone", "stopped process", err)
		}
		err = fn(pid)
		if errEnd := endStopped(pid); !errors.Is(errEnd, unix.ECHILD) && err == nil {
			err = errEnd
		}
		return err
	})
}

// endStopped kills the child and reaps it. ECHILD if that was done before.
func endStopped(pid int) error {
	status, err := waitTraced(pid, unix.WNOHANG) // before the kill: a reaped pid may be another's
	if err != nil {
		return err
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		return wrap("kill", strconv.Itoa(pid), err)
	}
	for status.Stopped() { // a stop may come first
		if status, err = waitTraced(pid, 0); err != nil {
			return err
		}
	}
	return nil
}

// waitTraced returns the next status of the child, a stop if WNOHANG finds none.
func waitTraced(pid, options int) (unix.WaitStatus, error) {
	var status unix.WaitStatus
	found, err := retryFD(func() (int, error) { return unix.Wait4(pid, &status, options|unix.WALL, nil) })
	if found == 0 {
		const stopped = 0x7f
		status = stopped
	}
	return status, wrap("wait4", strconv.Itoa(pid), err)
}
