// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/plan"
)

// setCredentials becomes the user with the groups and capabilities asked for. The raw
// system calls change this thread alone, which is the one that will exec: the
// order is that of capabilities(7), "Effect of user ID changes".
func setCredentials(p *plan.Process) error {
	caps := p.Capabilities
	if caps == nil {
		caps = &plan.Capabilities{}
	}
	if err := dropBounding(caps.Bounding); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return &kernel.Error{Call: "prctl PR_SET_KEEPCAPS", Err: err}
	}
	if err := setIDs(p); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 0, 0, 0, 0); err != nil {
		return &kernel.Error{Call: "prctl PR_SET_KEEPCAPS", Err: err}
	}
	have, err := permitted()
	if err != nil {
		return err
	}
	if err := setCapabilities(caps, have); err != nil {
		return err
	}
	return raiseAmbient(caps.Ambient & caps.Permitted & caps.Inheritable & have)
}

func setIDs(p *plan.Process) error {
	if err := setGroups(p.Groups); err != nil {
		return err
	}
	gid, uid := uintptr(p.GID), uintptr(p.UID)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid); errno != 0 {
		return &kernel.Error{Call: "setresgid", Err: errno}
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); errno != 0 {
		return &kernel.Error{Call: "setresuid", Err: errno}
	}
	return nil
}

// setGroups sets the supplementary groups. A user namespace may forbid it
// (user_namespaces(7), /proc/PID/setgroups), which matters only if groups are wanted.
func setGroups(groups []uint32) error {
	var first unsafe.Pointer
	if len(groups) > 0 {
		first = unsafe.Pointer(&groups[0])
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(first), 0)
	if errno != 0 && (len(groups) > 0 || errno != unix.EPERM) {
		return &kernel.Error{Call: "setgroups", Err: errno}
	}
	return nil
}

// maxCapability is the highest number a 64-bit mask can hold; the kernel's own
// highest is found by asking.
const maxCapability = 63

func dropBounding(keep uint64) error {
	for c := uintptr(0); c <= maxCapability; c++ {
		have, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0)
		if err != nil {
			return nil // past the last capability
		}
		if have == 0 || keep&(1<<c) != 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return &kernel.Error{Call: "prctl PR_CAPBSET_DROP", Err: err}
		}
	}
	return nil
}

// permitted returns what this thread can give at most. A daemon that runs with less
// than all capabilities cannot hand out the others; the container runs without them.
func permitted() (uint64, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, &kernel.Error{Call: "capget", Err: err}
	}
	return uint64(data[0].Permitted) | uint64(data[1].Permitted)<<32, nil
}

func setCapabilities(c *plan.Capabilities, have uint64) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	for i := range data {
		shift := 32 * i
		data[i] = unix.CapUserData{
			Effective:   uint32((c.Effective & have) >> shift),
			Permitted:   uint32((c.Permitted & have) >> shift),
			Inheritable: uint32((c.Inheritable & have) >> shift),
		}
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return &kernel.Error{Call: "capset", Err: err}
	}
	return nil
}

// raiseAmbient empties the ambient set, which is left over from nobody, and fills it.
// A capability that is not both permitted and inheritable cannot be ambient.
func raiseAmbient(mask uint64) error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return &kernel.Error{Call: "prctl PR_CAP_AMBIENT_CLEAR_ALL", Err: err}
	}
	for c := uintptr(0); c <= maxCapability; c++ {
		if mask&(1<<c) == 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, c, 0, 0); err != nil {
			return &kernel.Error{Call: "prctl PR_CAP_AMBIENT_RAISE", Err: err}
		}
	}
	return nil
}

// ownStdio gives the standard streams to the user, so that /dev/stdout and the like
// can be opened again. Devices other than terminals are the host's and stay.
func ownStdio(uid uint32) error {
	for fd := range 3 {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return &kernel.Error{Call: "fstat", Object: "stdio", Err: err}
		}
		kind := st.Mode & unix.S_IFMT
		device := kind == unix.S_IFCHR && unix.Major(st.Rdev) == 1
		if st.Uid == uid || device || kind == unix.S_IFREG {
			continue
		}
		err := unix.Fchown(fd, int(uid), int(st.Gid))
		if err != nil && err != unix.EINVAL && err != unix.EPERM && err != unix.EROFS {
			return &kernel.Error{Call: "fchown", Object: "stdio", Err: err}
		}
	}
	return nil
}

// setRlimits goes through syscall.Setrlimit, which makes the Go runtime forget the
// RLIMIT_NOFILE that it would restore at exec.
func setRlimits(limits []plan.Rlimit) error {
	for _, l := range limits {
		if err := syscall.Setrlimit(l.Resource, &syscall.Rlimit{Cur: l.Soft, Max: l.Max}); err != nil {
			return &kernel.Error{Call: "setrlimit", Object: rlimitName(l.Resource), Err: err}
		}
	}
	return nil
}
