// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// rules is a profile that has been checked.
type rules struct {
	profile *specs.LinuxSeccomp
	flags   uint64 // SECCOMP_FILTER_FLAG_*
	notify  bool
}

// parse checks everything that needs no knowledge of syscalls.
func parse(p *specs.LinuxSeccomp) (*rules, error) {
	r := &rules{profile: p}
	if err := checkAction("defaultAction", p.DefaultAction, p.DefaultErrnoRet); err != nil {
		return nil, err
	}
	if p.DefaultAction == specs.ActNotify {
		return nil, invalid("defaultAction: SCMP_ACT_NOTIFY would also stop the calls that hand the listener over")
	}
	for i := range p.Syscalls {
		if err := r.checkSyscall(&p.Syscalls[i]); err != nil {
			return nil, err
		}
	}
	if r.notify && p.ListenerPath == "" {
		return nil, invalid("SCMP_ACT_NOTIFY needs listenerPath, the socket of the one to be notified")
	}
	return r, r.parseFlags()
}

// beforeHandover are the calls that a process makes after its filter is in force and
// before anybody can answer a notification: sardine-init announces the listener, and
// its Go runtime may wake a thread. write is what other runtimes announce it with, and
// refused for the sake of profiles that work everywhere.
var beforeHandover = []string{"write", "sendmsg", "futex"}

func (r *rules) checkSyscall(s *specs.LinuxSyscall) error {
	if len(s.Names) == 0 {
		return invalid("syscalls: a rule has no names")
	}
	if slices.Contains(s.Names, "") {
		return invalid("syscalls: a name is empty")
	}
	if err := checkAction("syscalls: "+s.Names[0], s.Action, s.ErrnoRet); err != nil {
		return err
	}
	for _, a := range s.Args {
		const maxArguments = 6
		if a.Index >= maxArguments {
			return invalid("syscalls: %s: argument %d; a system call has %d", s.Names[0], a.Index, maxArguments)
		}
		if !slices.Contains(operators, a.Op) {
			return invalid("syscalls: %s: unknown operator %q", s.Names[0], a.Op)
		}
	}
	if s.Action != specs.ActNotify {
		return nil
	}
	r.notify = true
	for _, name := range beforeHandover {
		if slices.Contains(s.Names, name) {
			return invalid("syscalls: SCMP_ACT_NOTIFY cannot be used for %s: it is called before the listener is handed over", name)
		}
	}
	return nil
}

var operators = []specs.LinuxSeccompOperator{
	specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo,
	specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual,
}

var actions = []specs.LinuxSeccompAction{
	specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActTrap, specs.ActErrno,
	specs.ActTrace, specs.ActAllow, specs.ActLog, specs.ActNotify,
}

// checkAction also refuses an errno for an action that returns none, which the
// specification asks for.
func checkAction(field string, a specs.LinuxSeccompAction, errnoRet *uint) error {
	if !slices.Contains(actions, a) {
		return invalid("%s: unknown action %q", field, a)
	}
	if errnoRet == nil {
		return nil
	}
	const maxErrno, maxData = 4095, 65535
	switch {
	case a != specs.ActErrno && a != specs.ActTrace:
		return invalid("%s: errnoRet is for SCMP_ACT_ERRNO and SCMP_ACT_TRACE, not %s", field, a)
	case a == specs.ActErrno && *errnoRet > maxErrno, *errnoRet > maxData:
		return invalid("%s: errnoRet %d is too large", field, *errnoRet)
	}
	return nil
}

// parseFlags adds the default, SPEC_ALLOW, when the profile has no list of flags.
// TSYNC is accepted and means nothing: the one thread that loads the filter is the one
// that becomes the container's program.
func (r *rules) parseFlags() error {
	if r.profile.Flags == nil {
		r.flags = unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	}
	for _, f := range r.profile.Flags {
		switch f {
		case "SECCOMP_FILTER_FLAG_TSYNC":
		case specs.LinuxSeccompFlagLog:
			r.flags |= unix.SECCOMP_FILTER_FLAG_LOG
		case specs.LinuxSeccompFlagSpecAllow:
			r.flags |= unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
		case specs.LinuxSeccompFlagWaitKillableRecv:
			r.flags |= unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
		default:
			return invalid("flags: unknown flag %q", f)
		}
	}
	if r.flags&unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV != 0 && !r.notify {
		// The kernel takes it only together with a listener, where it has a meaning.
		r.flags &^= unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	}
	return r.checkKernel()
}

// checkKernel asks whether the kernel knows the flags, by a call that cannot succeed:
// with known flags it fails for the missing program. The newest,
// WAIT_KILLABLE_RECV, is of Linux 5.19.
func (r *rules) checkKernel() error {
	flags := r.flags
	if r.notify {
		flags |= unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(flags), 0)
	if errno != unix.EFAULT {
		return unready("flags %v: this kernel does not know them all (%v)", r.profile.Flags, errno)
	}
	return nil
}

// answersUnknown reports whether system calls newer than the profile get ENOSYS. A
// library that is told EPERM by a call it does not need gives up; told ENOSYS,
// it uses the older call. Where unknown calls are let through, the kernel answers.
func (r *rules) answersUnknown() bool {
	switch r.profile.DefaultAction {
	case specs.ActAllow, specs.ActLog, specs.ActTrace:
		return false
	}
	return true
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("linux.seccomp: "+format+": %w", append(args, errdefs.ErrInvalidArgument)...)
}

func unready(format string, args ...any) error {
	return fmt.Errorf("linux.seccomp: "+format+": %w", append(args, errdefs.ErrFailedPrecondition)...)
}
