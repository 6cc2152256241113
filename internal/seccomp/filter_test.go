// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package seccomp

import (
	"encoding/binary"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// verdict runs a compiled filter in an interpreter: that is how filters of other
// architectures are tested.
func verdict(t *testing.T, p *specs.LinuxSeccomp, audit, number uint32, args ...uint64) uint32 {
	t.Helper()
	var c Compiler
	f, err := c.Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	return interpret(t, decode(f.Program), audit, number, args...)
}

func interpret(t *testing.T, filter []unix.SockFilter, audit, number uint32, args ...uint64) uint32 {
	t.Helper()
	var program []bpf.Instruction
	for _, i := range filter {
		program = append(program, bpf.RawInstruction{Op: i.Code, Jt: i.Jt, Jf: i.Jf, K: i.K}.Disassemble())
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	// The interpreter loads big-endian words; a struct seccomp_data of little-endian
	// architectures has the low word of an argument first.
	data := binary.BigEndian.AppendUint32(nil, number)
	data = binary.BigEndian.AppendUint32(data, audit)
	data = append(data, make([]byte, 8)...)
	for i := range 6 {
		var v uint64
		if i < len(args) {
			v = args[i]
		}
		data = binary.BigEndian.AppendUint32(data, uint32(v))
		data = binary.BigEndian.AppendUint32(data, uint32(v>>32))
	}
	got, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(got)
}

const (
	allow       = unix.SECCOMP_RET_ALLOW
	killProcess = unix.SECCOMP_RET_KILL_PROCESS
)

func errno(e unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(e) }

func TestOperators(t *testing.T) {
	const high = 1 << 40
	for _, test := range []struct {
		op       specs.LinuxSeccompOperator
		v, v2    uint64
		yes, not []uint64
	}{
		{specs.OpEqualTo, high + 5, 0, []uint64{high + 5}, []uint64{5, high, high + 6}},
		{specs.OpNotEqual, 5, 0, []uint64{4, 6, high + 5}, []uint64{5}},
		{specs.OpLessThan, 5, 0, []uint64{0, 4}, []uint64{5, 6, high}},
		{specs.OpLessEqual, 5, 0, []uint64{4, 5}, []uint64{6, high + 4}},
		{specs.OpGreaterThan, high, 0, []uint64{high + 1}, []uint64{high, 5}},
		{specs.OpGreaterEqual, high, 0, []uint64{high, high + 1}, []uint64{high - 1}},
		{specs.OpMaskedEqual, 0xff, 0x12, []uint64{0x12, 0xab12, high + 0x12}, []uint64{0x13, 0x1200}},
	} {
		p := &specs.LinuxSeccomp{
			DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64},
			Syscalls: []specs.LinuxSyscall{{
				Names: []string{"lseek"}, Action: specs.ActErrno,
				Args: []specs.LinuxSeccompArg{{Index: 2, Op: test.op, Value: test.v, ValueTwo: test.v2}},
			}},
		}
		const lseek = 8
		for _, v := range test.yes {
			if got := verdict(t, p, unix.AUDIT_ARCH_X86_64, lseek, 0, 0, v); got != errno(unix.EPERM) {
				t.Errorf("%s %#x with %#x: %#x, want EPERM", test.op, test.v, v, got)
			}
		}
		for _, v := range test.not {
			if got := verdict(t, p, unix.AUDIT_ARCH_X86_64, lseek, 0, 0, v); got != allow {
				t.Errorf("%s %#x with %#x: %#x, want allow", test.op, test.v, v, got)
			}
		}
	}
}

// TestSeveralConditions: different arguments are combined by "and", the same one by "or".
func TestSeveralConditions(t *testing.T) {
	const personality, lseek = 135, 8
	equal := func(index uint, v uint64) specs.LinuxSeccompArg {
		return specs.LinuxSeccompArg{Index: index, Value: v, Op: specs.OpEqualTo}
	}
	p := &specs.LinuxSeccomp{
		DefaultAction: specs.ActErrno, Architectures: []specs.Arch{specs.ArchX86_64},
		Syscalls: []specs.LinuxSyscall{
			{Names: []string{"lseek"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{equal(0, 1), equal(1, 2)}},
			{Names: []string{"personality"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{equal(0, 0), equal(0, 8)}},
		},
	}
	for _, test := range []struct {
		number uint32
		args   []uint64
		want   uint32
	}{
		{lseek, []uint64{1, 2}, allow},
		{lseek, []uint64{1, 3}, errno(unix.EPERM)},
		{lseek, []uint64{0, 2}, errno(unix.EPERM)},
		{personality, []uint64{0}, allow},
		{personality, []uint64{8}, allow},
		{personality, []uint64{1}, errno(unix.EPERM)},
	} {
		if got := verdict(t, p, unix.AUDIT_ARCH_X86_64, test.number, test.args...); got != test.want {
			t.Errorf("%d%v: %#x, want %#x", test.number, test.args, got, test.want)
		}
	}
}

func TestActions(t *testing.T) {
	seven := uint(7)
	p := &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow, ListenerPath: "/run/agent.sock", Architectures: []specs.Arch{specs.ArchX86_64},
		Syscalls: []specs.LinuxSyscall{
			{Names: []string{"chmod"}, Action: specs.ActKill},
			{Names: []string{"chown"}, Action: specs.ActKillProcess},
			{Names: []string{"mkdir"}, Action: specs.ActTrap},
			{Names: []string{"rmdir"}, Action: specs.ActErrno, ErrnoRet: &seven},
			{Names: []string{"link"}, Action: specs.ActTrace, ErrnoRet: &seven},
			{Names: []string{"unlink"}, Action: specs.ActLog},
			{Names: []string{"rename"}, Action: specs.ActNotify},
			{Names: []string{"no_such_call"}, Action: specs.ActKill},
		},
	}
	for number, want := range map[uint32]uint32{
		90: unix.SECCOMP_RET_KILL_THREAD, 92: killProcess, 83: unix.SECCOMP_RET_TRAP, 84: errno(7),
		86: unix.SECCOMP_RET_TRACE | 7, 87: unix.SECCOMP_RET_LOG, 82: unix.SECCOMP_RET_USER_NOTIF, 0: allow,
	} {
		if got := verdict(t, p, unix.AUDIT_ARCH_X86_64, number); got != want {
			t.Errorf("%d: %#x, want %#x", number, got, want)
		}
	}
	var c Compiler
	if f, err := c.Compile(p); err != nil || !f.Notify {
		t.Errorf("notify is not announced: %v, %v", f, err)
	}
}

// TestArchitectures tries the same names, with the numbers of each architecture.
func TestArchitectures(t *testing.T) {
	p := &specs.LinuxSeccomp{
		DefaultAction: specs.ActErrno,
		Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32, specs.ArchAARCH64},
		Syscalls:      []specs.LinuxSyscall{{Names: []string{"read", "mkdirat", "openat2"}, Action: specs.ActAllow}},
	}
	const openat2 = 437 // everywhere
	for _, test := range []struct {
		name          string
		audit, number uint32
		want          uint32
	}{
		{"x86_64 read", unix.AUDIT_ARCH_X86_64, 0, allow},
		{"x86_64 write", unix.AUDIT_ARCH_X86_64, 1, errno(unix.EPERM)},
		{"x86_64 openat2", unix.AUDIT_ARCH_X86_64, openat2, allow},
		{"x86_64 newer", unix.AUDIT_ARCH_X86_64, openat2 + 1, errno(unix.ENOSYS)},
		{"x32 read", unix.AUDIT_ARCH_X86_64, x32Bit, allow},
		{"x32 write", unix.AUDIT_ARCH_X86_64, x32Bit + 1, errno(unix.EPERM)},
		{"x32 newer", unix.AUDIT_ARCH_X86_64, x32Bit + 600, errno(unix.ENOSYS)},
		{"x86 read", unix.AUDIT_ARCH_I386, 3, allow},
		{"x86 mkdirat", unix.AUDIT_ARCH_I386, 296, allow},
		{"x86 write", unix.AUDIT_ARCH_I386, 4, errno(unix.EPERM)},
		{"x86 newer", unix.AUDIT_ARCH_I386, openat2 + 1, errno(unix.ENOSYS)},
		{"arm64 read", unix.AUDIT_ARCH_AARCH64, 63, allow},
		{"arm64 write", unix.AUDIT_ARCH_AARCH64, 64, errno(unix.EPERM)},
		{"arm64 newer", unix.AUDIT_ARCH_AARCH64, openat2 + 1, errno(unix.ENOSYS)},
	} {
		if got := verdict(t, p, test.audit, test.number); got != test.want {
			t.Errorf("%s: %#x, want %#x", test.name, got, test.want)
		}
	}
}

// TestStubBranches tries the beginning alone, which goes on to a program that allows.
func TestStubBranches(t *testing.T) {
	program := stub([]limit{
		{audit: unix.AUDIT_ARCH_X86_64, highest: 10},
		{audit: unix.AUDIT_ARCH_S390X, highest: 10},
		{audit: unix.AUDIT_ARCH_RISCV64, highest: 20},
	})
	program = append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: allow})
	for _, test := range []struct {
		audit, number, want uint32
	}{
		{unix.AUDIT_ARCH_X86_64, 10, allow},
		{unix.AUDIT_ARCH_X86_64, 11, errno(unix.ENOSYS)},
		{unix.AUDIT_ARCH_X86_64, x32Bit + 11, allow}, // not in the profile: the rest decides
		{unix.AUDIT_ARCH_S390X, 0, errno(unix.ENOSYS)},
		{unix.AUDIT_ARCH_S390X, 1, allow},
		{unix.AUDIT_ARCH_S390X, 11, errno(unix.ENOSYS)},
		{unix.AUDIT_ARCH_RISCV64, 0, allow},
		{unix.AUDIT_ARCH_RISCV64, 20, allow},
		{unix.AUDIT_ARCH_RISCV64, 21, errno(unix.ENOSYS)},
		{unix.AUDIT_ARCH_PPC64LE, 11, allow},
	} {
		if got := interpret(t, program, test.audit, test.number); got != test.want {
			t.Errorf("%#x %d: %#x, want %#x", test.audit, test.number, got, test.want)
		}
	}
	if got := interpret(t, append(stub(nil), program[len(program)-1]), 1, 1); got != allow {
		t.Errorf("without architectures: %#x", got)
	}
}

// TestForeignArchitecture: a call of an architecture that is not in the profile kills.
func TestForeignArchitecture(t *testing.T) {
	p := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{{Names: []string{"read"}, Action: specs.ActAllow}}}
	if got := verdict(t, p, unix.AUDIT_ARCH_PPC64LE, 3); got != unix.SECCOMP_RET_KILL_THREAD {
		t.Errorf("%#x, want a kill", got)
	}
}

// TestNewerCalls: only a profile that forbids by default answers ENOSYS.
func TestNewerCalls(t *testing.T) {
	for action, want := range map[specs.LinuxSeccompAction]uint32{
		specs.ActErrno: errno(unix.ENOSYS), specs.ActKillProcess: errno(unix.ENOSYS), specs.ActTrap: errno(unix.ENOSYS),
		specs.ActAllow: allow, specs.ActLog: unix.SECCOMP_RET_LOG,
	} {
		rule := specs.ActAllow
		if action == specs.ActAllow {
			rule = specs.ActErrno
		}
		p := &specs.LinuxSeccomp{
			DefaultAction: action, Architectures: []specs.Arch{specs.ArchX86_64},
			Syscalls: []specs.LinuxSyscall{{Names: []string{"read"}, Action: rule}},
		}
		if got := verdict(t, p, unix.AUDIT_ARCH_X86_64, 9999); got != want {
			t.Errorf("default %s: %#x, want %#x", action, got, want)
		}
	}
}

// TestDefaultProfile spot-checks the profile that most containers have.
func TestDefaultProfile(t *testing.T) {
	p := defaultProfile(t)
	for _, test := range []struct {
		name   string
		number uint32
		args   []uint64
		want   uint32
	}{
		{"read", 0, nil, allow},
		{"execve", 59, nil, allow},
		{"mount", 165, nil, errno(unix.EPERM)},
		{"bpf", 321, nil, errno(unix.EPERM)},
		{"personality 0", 135, []uint64{0}, allow},
		{"personality 1", 135, []uint64{1}, errno(unix.EPERM)},
		{"socket AF_VSOCK", 41, []uint64{40}, errno(unix.EPERM)},
		{"socket AF_INET", 41, []uint64{2}, allow},
		{"clone with CLONE_NEWUSER", 56, []uint64{unix.CLONE_NEWUSER}, errno(unix.EPERM)},
		{"clone of a thread", 56, []uint64{unix.CLONE_VM | unix.CLONE_THREAD}, allow},
		{"clone3", 435, nil, errno(unix.ENOSYS)},
		{"of the future", 5000, nil, errno(unix.ENOSYS)},
	} {
		if got := verdict(t, p, unix.AUDIT_ARCH_X86_64, test.number, test.args...); got != test.want {
			t.Errorf("%s: %#x, want %#x", test.name, got, test.want)
		}
	}
}
