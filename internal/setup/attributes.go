// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"encoding/binary"
	"errors"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/plan"
)

// schedule sets what decides when and where the process runs.
func schedule(p *plan.Process) error {
	if err := setAffinity(p.CPUAffinity); err != nil {
		return err
	}
	if err := setScheduler(p.Scheduler); err != nil {
		return err
	}
	if p.IOPriority >= 0 {
		const whoProcess = 1 // IOPRIO_WHO_PROCESS
		_, _, errno := unix.RawSyscall(unix.SYS_IOPRIO_SET, whoProcess, 0, uintptr(p.IOPriority))
		if errno != 0 {
			return &kernel.Error{Call: "ioprio_set", Err: errno}
		}
	}
	if p.Personality != nil {
		if _, _, errno := unix.RawSyscall(unix.SYS_PERSONALITY, uintptr(*p.Personality), 0, 0); errno != 0 {
			return &kernel.Error{Call: "personality", Err: errno}
		}
	}
	return nil
}

func setAffinity(mask []byte) error {
	if len(mask) == 0 {
		return nil
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SCHED_SETAFFINITY, 0, uintptr(len(mask)), uintptr(unsafe.Pointer(&mask[0])))
	if errno != 0 {
		return &kernel.Error{Call: "sched_setaffinity", Err: errno}
	}
	return nil
}

func setScheduler(s *plan.Scheduler) error {
	if s == nil {
		return nil
	}
	attr := unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: s.Policy, Flags: s.Flags, Nice: s.Nice,
		Priority: s.Priority, Runtime: s.Runtime, Deadline: s.Deadline, Period: s.Period,
	}
	if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
		return &kernel.Error{Call: "sched_setattr", Err: err}
	}
	return nil
}

// joinKeyring gives the process a session keyring of its own, so that it cannot read
// the daemon's: keyrings(7). Kernels without keys need nothing.
func (s *session) joinKeyring() error {
	p := &s.plan.Process
	if p.KeyringLabel != "" {
		if err := s.writeThread("attr/keycreate", p.KeyringLabel); err != nil {
			return err
		}
	}
	id, err := unix.KeyctlJoinSessionKeyring(p.KeyringName)
	if errors.Is(err, unix.ENOSYS) {
		return nil
	}
	if err != nil {
		return &kernel.Error{Call: "keyctl KEYCTL_JOIN_SESSION_KEYRING", Err: err}
	}
	perm, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, id)
	if err != nil {
		return &kernel.Error{Call: "keyctl KEYCTL_DESCRIBE", Err: err}
	}
	mask, err := keyPermissions(perm)
	if err != nil {
		return err
	}
	const ownerSearch = 0x00080000 // KEY_USR_SEARCH: the user finds it without possessing it
	if err := unix.KeyctlSetperm(id, mask|ownerSearch); err != nil {
		return &kernel.Error{Call: "keyctl KEYCTL_SETPERM", Err: err}
	}
	return nil
}

// keyPermissions reads the fourth field of "type;uid;gid;perm;description".
func keyPermissions(description string) (uint32, error) {
	rest := description
	for range 3 {
		_, rest = cut(rest, ';')
	}
	field, _ := cut(rest, ';')
	mask, err := strconv.ParseUint(field, 16, 32)
	if err != nil {
		return 0, errors.New("keyctl KEYCTL_DESCRIBE: cannot read " + strconv.Quote(description))
	}
	return uint32(mask), nil
}

// setLabel says which AppArmor profile or SELinux context begins at exec.
func (s *session) setLabel() error {
	p := &s.plan.Process
	label := p.SELinux
	if p.AppArmor != "" {
		label = "exec " + p.AppArmor
	}
	if label == "" {
		return nil
	}
	if _, err := unix.Write(s.host.execAttr, []byte(label)); err != nil {
		return &kernel.Error{Call: "write attr/exec", Object: label, Err: err}
	}
	return nil
}

// writeThread writes a file of this thread below the host's /proc.
func (s *session) writeThread(name, value string) error {
	return whileDumpable(func() error {
		fd, err := unix.Openat(s.host.proc, "thread-self/"+name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return &kernel.Error{Call: "openat", Object: name, Err: err}
		}
		defer unix.Close(fd)
		if _, err := unix.Write(fd, []byte(value)); err != nil {
			return &kernel.Error{Call: "write", Object: name, Err: err}
		}
		return nil
	})
}

// loadSeccomp installs the filter on this thread. The listener is handed over by its
// number: the daemon takes it with pidfd_getfd(2), which the filter cannot forbid.
func (s *session) loadSeccomp() error {
	f := s.plan.Process.Seccomp
	if f == nil {
		return nil
	}
	program := unix.SockFprog{
		Len:    uint16(len(f.Program) / int(unsafe.Sizeof(unix.SockFilter{}))),
		Filter: (*unix.SockFilter)(unsafe.Pointer(&f.Program[0])),
	}
	flags := uintptr(f.Flags)
	if f.Notify {
		flags |= unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	}
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return &kernel.Error{Call: "seccomp", Err: errno}
	}
	if !f.Notify {
		return nil
	}
	err := s.ask(plan.Listener, binary.AppendUvarint(nil, uint64(fd)), plan.Taken)
	unix.Close(int(fd))
	return err
}

// rlimitName names a limit for an error.
func rlimitName(resource int) string {
	names := [...]string{
		"RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE", "RLIMIT_RSS", "RLIMIT_NPROC",
		"RLIMIT_NOFILE", "RLIMIT_MEMLOCK", "RLIMIT_AS", "RLIMIT_LOCKS", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE",
		"RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
	}
	if resource >= 0 && resource < len(names) {
		return names[resource]
	}
	return strconv.Itoa(resource)
}
