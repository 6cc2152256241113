// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PidfdOpen returns a descriptor of process pid (a thread group leader): pidfd_open(2),
// Linux 5.3. The kernel sets close-on-exec. ESRCH when there is no such process;
// a zombie still has one.
func PidfdOpen(pid int) (int, error) {
	fd, err := retryFD(func() (int, error) { return unix.PidfdOpen(pid, 0) })
	return fd, wrap("pidfd_open", strconv.Itoa(pid), err)
}

// PidfdOpenThread is PidfdOpen for thread tid, which may be any of its process: PIDFD_THREAD, Linux 6.9; EINVAL before.
func PidfdOpenThread(tid int) (int, error) {
	const pidfdThread = unix.O_EXCL
	fd, err := retryFD(func() (int, error) { return unix.PidfdOpen(tid, pidfdThread) })
	return fd, wrap("pidfd_open", "thread "+strconv.Itoa(tid), err)
}

// PidfdSendSignal sends sig to the process of pidfd: pidfd_send_signal(2), Linux 5.1.
// ESRCH when it has ended and was reaped.
func PidfdSendSignal(pidfd int, sig unix.Signal) error {
	err := retry(func() error { return unix.PidfdSendSignal(pidfd, sig, nil, 0) })
	return wrap("pidfd_send_signal", unix.SignalName(sig), err)
}

// WaitPidfd reaps the ended child of pidfd and returns its status:
// waitid(P_PIDFD, WEXITED|WNOHANG|__WALL), Linux 5.4. ended is false when it still
// runs. ECHILD when it is not an unreaped child of this process.
func WaitPidfd(pidfd int) (status ExitStatus, ended bool, err error) {
	var info siginfoChild
	err = retry(func() error {
		info = siginfoChild{}
		return unix.Waitid(unix.P_PIDFD, pidfd, (*unix.Siginfo)(unsafe.Pointer(&info)),
			unix.WEXITED|unix.WNOHANG|unix.WALL, nil)
	})
	if err != nil || info.pid == 0 {
		return ExitStatus{}, false, wrap("waitid", "pidfd "+strconv.Itoa(pidfd), err)
	}
	return info.exitStatus(), true, nil
}

// siginfoChild is siginfo_t as waitid fills it for SIGCHLD. unix.Siginfo hides these
// fields; the union begins at the alignment of a pointer.
type siginfoChild struct {
	signo, errno, code int32
	_                  [0]uintptr
	pid                int32
	uid                uint32
	status             int32
	_                  [112]byte // at least the 128 bytes of siginfo_t
}

func (s *siginfoChild) exitStatus() ExitStatus {
	const cldExited, cldDumped = 1, 3
	if s.code == cldExited {
		return ExitStatus{Code: uint32(s.status)}
	}
	return ExitStatus{Signal: unix.Signal(s.status), CoreDumped: s.code == cldDumped}
}

// PidfdExitStatus returns how the process of pidfd, which need not be a child, ended:
// ioctl(PIDFD_GET_INFO) with PIDFD_INFO_EXIT, Linux 6.15. ended is false while it runs
// and, a quirk of the interface, while it is a zombie. ENOTTY or EINVAL
// on older kernels.
func PidfdExitStatus(pidfd int) (status ExitStatus, ended bool, err error) {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	err = retry(func() error { return unix.IoctlPidfdInfo(pidfd, &info) })
	switch {
	case errors.Is(err, unix.ESRCH): // a reaped process of which nothing was kept
		return ExitStatus{}, false, nil
	case err != nil:
		return ExitStatus{}, false, wrap("ioctl PIDFD_GET_INFO", "pidfd "+strconv.Itoa(pidfd), err)
	}
	if info.Mask&unix.PIDFD_INFO_EXIT == 0 {
		return ExitStatus{}, false, nil
	}
	return WaitStatus(uint32(info.Exit_code)), true, nil
}

// ExitStatus says how a process ended.
type ExitStatus struct {
	Code       uint32      // exit code, 0 to 255; 0 when a signal ended it
	Signal     unix.Signal // signal that ended it, 0 when it exited
	CoreDumped bool
}

// WaitStatus decodes the status word of wait(2).
func WaitStatus(word uint32) ExitStatus {
	const signalMask, core = 0x7f, 0x80
	if sig := word & signalMask; sig != 0 {
		return ExitStatus{Signal: unix.Signal(sig), CoreDumped: word&core != 0}
	}
	return ExitStatus{Code: word >> 8 & 0xff}
}

// Word encodes s as the status word of wait(2).
func (s ExitStatus) Word() uint32 {
	word := s.Code&0xff<<8 | uint32(s.Signal)
	if s.CoreDumped {
		word |= 0x80
	}
	return word
}
