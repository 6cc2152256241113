// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package seccomp

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	libseccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"
)

// enabled tells whether this build can compile profiles.
const enabled = true

// build has libseccomp compile the rules. It also returns the highest system call
// number the profile names on each of its architectures.
func build(r *rules) ([]unix.SockFilter, []limit, error) {
	filter, err := libseccomp.NewFilter(action(r.profile.DefaultAction, r.profile.DefaultErrnoRet))
	if err != nil {
		return nil, nil, unready("libseccomp: %v", err)
	}
	defer filter.Release()
	arches, err := addArchitectures(filter, r.profile.Architectures)
	if err != nil {
		return nil, nil, err
	}
	if err := addRules(filter, r.profile); err != nil {
		return nil, nil, err
	}
	program, err := export(filter)
	if err != nil {
		return nil, nil, err
	}
	return program, limits(arches, r.profile.Syscalls), nil
}

// addArchitectures returns all architectures of the filter, the native one first.
func addArchitectures(filter *libseccomp.ScmpFilter, names []specs.Arch) ([]libseccomp.ScmpArch, error) {
	native, err := libseccomp.GetNativeArch()
	if err != nil {
		return nil, unready("libseccomp: %v", err)
	}
	arches := []libseccomp.ScmpArch{native}
	for _, name := range names {
		short, ok := strings.CutPrefix(string(name), "SCMP_ARCH_")
		arch, err := libseccomp.GetArchFromString(short)
		if !ok || err != nil {
			return nil, invalid("architectures: unknown architecture %q", name)
		}
		if err := filter.AddArch(arch); err != nil {
			return nil, invalid("architectures: %s does not go together with the others: %v", name, err)
		}
		if !slices.Contains(arches, arch) {
			arches = append(arches, arch)
		}
	}
	return arches, nil
}

func addRules(filter *libseccomp.ScmpFilter, p *specs.LinuxSeccomp) error {
	n := 0
	for i := range p.Syscalls {
		n += len(p.Syscalls[i].Names)
	}
	// A tree of comparisons instead of a list, once there are enough to compare.
	// libseccomp up to 2.5.4 makes wrong trees of no rules. Older ones have no trees.
	const treeFrom = 32
	if n > treeFrom {
		_ = filter.SetOptimize(2)
	}
	for i := range p.Syscalls {
		if err := addSyscall(filter, p, &p.Syscalls[i]); err != nil {
			return err
		}
	}
	return nil
}

// addSyscall adds a rule for each name. Names that libseccomp does not know are of
// other kernels; the profile's default applies to them.
func addSyscall(filter *libseccomp.ScmpFilter, p *specs.LinuxSeccomp, s *specs.LinuxSyscall) error {
	act := action(s.Action, s.ErrnoRet)
	if act == action(p.DefaultAction, p.DefaultErrnoRet) {
		return nil // libseccomp refuses rules that change nothing
	}
	conditions, err := conditions(s.Args)
	if err != nil {
		return invalid("syscalls: %s: %v", s.Names[0], err)
	}
	for _, name := range s.Names {
		call, err := libseccomp.GetSyscallFromName(name)
		if errors.Is(err, libseccomp.ErrSyscallDoesNotExist) {
			continue
		}
		if err == nil {
			err = addRule(filter, call, act, s.Args, conditions)
		}
		if err != nil {
			return unready("syscalls: %s: %v", name, err)
		}
	}
	return nil
}

// addRule combines all conditions by "and". libseccomp takes one condition per
// argument; where a profile has several, each becomes a rule of its own, as in all
// other runtimes: profiles are written for that.
func addRule(filter *libseccomp.ScmpFilter, call libseccomp.ScmpSyscall, act libseccomp.ScmpAction,
	args []specs.LinuxSeccompArg, conditions []libseccomp.ScmpCondition,
) error {
	if len(conditions) == 0 {
		return filter.AddRule(call, act)
	}
	if !repeats(args) {
		return filter.AddRuleConditional(call, act, conditions)
	}
	for _, c := range conditions {
		if err := filter.AddRuleConditional(call, act, []libseccomp.ScmpCondition{c}); err != nil {
			return err
		}
	}
	return nil
}

func repeats(args []specs.LinuxSeccompArg) bool {
	seen := map[uint]bool{}
	for _, a := range args {
		if seen[a.Index] {
			return true
		}
		seen[a.Index] = true
	}
	return false
}

func conditions(args []specs.LinuxSeccompArg) ([]libseccomp.ScmpCondition, error) {
	var out []libseccomp.ScmpCondition
	for _, a := range args {
		c, err := libseccomp.MakeCondition(a.Index, operator(a.Op), a.Value, a.ValueTwo)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func operator(op specs.LinuxSeccompOperator) libseccomp.ScmpCompareOp {
	switch op {
	case specs.OpNotEqual:
		return libseccomp.CompareNotEqual
	case specs.OpLessThan:
		return libseccomp.CompareLess
	case specs.OpLessEqual:
		return libseccomp.CompareLessOrEqual
	case specs.OpEqualTo:
		return libseccomp.CompareEqual
	case specs.OpGreaterEqual:
		return libseccomp.CompareGreaterEqual
	case specs.OpGreaterThan:
		return libseccomp.CompareGreater
	case specs.OpMaskedEqual:
		return libseccomp.CompareMaskedEqual
	}
	return libseccomp.CompareInvalid
}

// action returns EPERM where the profile names no errno.
func action(a specs.LinuxSeccompAction, errnoRet *uint) libseccomp.ScmpAction {
	code := int16(unix.EPERM)
	if errnoRet != nil {
		code = int16(uint16(*errnoRet))
	}
	switch a {
	case specs.ActKill, specs.ActKillThread:
		return libseccomp.ActKillThread
	case specs.ActKillProcess:
		return libseccomp.ActKillProcess
	case specs.ActTrap:
		return libseccomp.ActTrap
	case specs.ActErrno:
		return libseccomp.ActErrno.SetReturnCode(code)
	case specs.ActTrace:
		return libseccomp.ActTrace.SetReturnCode(code)
	case specs.ActAllow:
		return libseccomp.ActAllow
	case specs.ActLog:
		return libseccomp.ActLog
	case specs.ActNotify:
		return libseccomp.ActNotify
	}
	return libseccomp.ActInvalid
}

// export takes the program out of libseccomp, which before 2.6 writes to files only.
func export(filter *libseccomp.ScmpFilter) ([]unix.SockFilter, error) {
	fd, err := unix.MemfdCreate("seccomp", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	file := os.NewFile(uintptr(fd), "seccomp")
	defer file.Close()
	if err := filter.ExportBPF(file); err != nil {
		return nil, unready("export the filter: %v", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	return decode(b), nil
}

// limits finds the highest number among the names on each architecture. An
// architecture on which none of them exists has no limit.
func limits(arches []libseccomp.ScmpArch, syscalls []specs.LinuxSyscall) []limit {
	var out []limit
	for _, arch := range arches {
		highest, ok := highestNumber(arch, syscalls)
		audit, known := auditArch(arch)
		if !ok || !known {
			continue
		}
		i := slices.IndexFunc(out, func(l limit) bool { return l.audit == audit })
		if i < 0 {
			i = len(out)
			out = append(out, limit{audit: audit})
		}
		if arch == libseccomp.ArchX32 {
			out[i].x32, out[i].x32High = true, highest
		} else {
			out[i].highest = highest
		}
	}
	return out
}

func highestNumber(arch libseccomp.ScmpArch, syscalls []specs.LinuxSyscall) (uint32, bool) {
	highest := libseccomp.ScmpSyscall(-1)
	for i := range syscalls {
		for _, name := range syscalls[i].Names {
			n, err := libseccomp.GetSyscallFromNameByArch(name, arch)
			if err == nil && n > highest { // numbers below -1 stand for calls of other architectures
				highest = n
			}
		}
	}
	return uint32(highest), highest >= 0
}

// auditArch is the kernel's name for an architecture. x32 shares x86_64's.
func auditArch(arch libseccomp.ScmpArch) (uint32, bool) {
	audit := map[libseccomp.ScmpArch]uint32{
		libseccomp.ArchX86:         unix.AUDIT_ARCH_I386,
		libseccomp.ArchAMD64:       unix.AUDIT_ARCH_X86_64,
		libseccomp.ArchX32:         unix.AUDIT_ARCH_X86_64,
		libseccomp.ArchARM:         unix.AUDIT_ARCH_ARM,
		libseccomp.ArchARM64:       unix.AUDIT_ARCH_AARCH64,
		libseccomp.ArchMIPS:        unix.AUDIT_ARCH_MIPS,
		libseccomp.ArchMIPS64:      unix.AUDIT_ARCH_MIPS64,
		libseccomp.ArchMIPS64N32:   unix.AUDIT_ARCH_MIPS64N32,
		libseccomp.ArchMIPSEL:      unix.AUDIT_ARCH_MIPSEL,
		libseccomp.ArchMIPSEL64:    unix.AUDIT_ARCH_MIPSEL64,
		libseccomp.ArchMIPSEL64N32: unix.AUDIT_ARCH_MIPSEL64N32,
		libseccomp.ArchPPC:         unix.AUDIT_ARCH_PPC,
		libseccomp.ArchPPC64:       unix.AUDIT_ARCH_PPC64,
		libseccomp.ArchPPC64LE:     unix.AUDIT_ARCH_PPC64LE,
		libseccomp.ArchS390:        unix.AUDIT_ARCH_S390,
		libseccomp.ArchS390X:       unix.AUDIT_ARCH_S390X,
		libseccomp.ArchRISCV64:     unix.AUDIT_ARCH_RISCV64,
		libseccomp.ArchLOONGARCH64: unix.AUDIT_ARCH_LOONGARCH64,
	}
	a, ok := audit[arch]
	return a, ok
}
