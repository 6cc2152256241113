// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package seccomp

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/plan"
)

// childFlags makes the test binary the child of TestKernel: its stdin is a
// program, the variable its flags.
const childFlags = "SARDINE_TEST_SECCOMP_FLAGS"

func TestMain(m *testing.M) {
	if flags := os.Getenv(childFlags); flags != "" {
		child(flags)
	}
	os.Exit(m.Run())
}

// child loads the filter, tries mkdirat(2) with wrong arguments and a number of the
// future, and exits with a status that tells what came back. Nothing is made: without a
// filter mkdirat fails with EFAULT.
func child(flags string) {
	runtime.LockOSThread()
	program := make([]byte, 64<<10)
	n := 0
	for {
		k, err := os.Stdin.Read(program[n:])
		n += k
		if err != nil {
			break
		}
	}
	number, err := strconv.ParseUint(flags, 10, 64)
	if err != nil || n == 0 {
		unix.Exit(200)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		unix.Exit(201)
	}
	fprog := unix.SockFprog{Len: uint16(n / instructionSize), Filter: (*unix.SockFilter)(unsafe.Pointer(&program[0]))}
	if _, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(number), uintptr(unsafe.Pointer(&fprog))); e != 0 {
		unix.Exit(202)
	}
	_, _, made := unix.RawSyscall(unix.SYS_MKDIRAT, ^uintptr(0), 1, 0o700)
	_, _, future := unix.RawSyscall(9999, 0, 0, 0)
	if future != unix.ENOSYS {
		unix.Exit(203)
	}
	unix.Exit(int(made))
}

// TestKernel loads programs into a process and has it make the forbidden call.
func TestKernel(t *testing.T) {
	erofs := uint(unix.EROFS)
	mkdir := func(a specs.LinuxSeccompAction, errnoRet *uint, args ...specs.LinuxSeccompArg) *specs.LinuxSeccomp {
		return &specs.LinuxSeccomp{
			DefaultAction: specs.ActAllow,
			Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32, specs.ArchAARCH64, specs.ArchARM},
			Syscalls:      []specs.LinuxSyscall{{Names: []string{"mkdirat"}, Action: a, ErrnoRet: errnoRet, Args: args}},
		}
	}
	withFlags := mkdir(specs.ActErrno, nil)
	withFlags.Flags = []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow, "SECCOMP_FILTER_FLAG_TSYNC"}
	mode := func(v uint64) specs.LinuxSeccompArg {
		return specs.LinuxSeccompArg{Index: 2, Value: v, Op: specs.OpEqualTo}
	}
	for _, test := range []struct {
		name    string
		profile *specs.LinuxSeccomp
		want    syscall.Errno  // of mkdirat
		signal  syscall.Signal // that ends the child
	}{
		{"other calls", mkdir(specs.ActErrno, nil, mode(0o755)), unix.EFAULT, 0},
		{"errno", mkdir(specs.ActErrno, nil), unix.EPERM, 0},
		{"own errno", mkdir(specs.ActErrno, &erofs), unix.EROFS, 0},
		{"argument", mkdir(specs.ActErrno, nil, mode(0o700)), unix.EPERM, 0},
		{"log", mkdir(specs.ActLog, nil), unix.EFAULT, 0},
		{"trace without a tracer", mkdir(specs.ActTrace, nil), unix.ENOSYS, 0},
		{"kill process", mkdir(specs.ActKillProcess, nil), 0, unix.SIGSYS},
		{"flags", withFlags, unix.EPERM, 0},
		{"containerd's default", defaultProfile(t), unix.EFAULT, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c Compiler
			f, err := c.Compile(test.profile)
			if err != nil {
				t.Fatal(err)
			}
			status := runChild(t, f)
			if status.Signaled() || test.signal != 0 {
				if status.Signal() != test.signal {
					t.Fatalf("signal %v, want %v", status.Signal(), test.signal)
				}
				return
			}
			if got := syscall.Errno(status.ExitStatus()); got != test.want {
				t.Errorf("mkdirat: %v (%d), want %v", got, got, test.want)
			}
		})
	}
}

func runChild(t *testing.T, f *plan.Seccomp) syscall.WaitStatus {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "program")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(f.Program); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childFlags+"="+strconv.FormatUint(f.Flags, 10))
	cmd.Stdin = file
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.Sys().(syscall.WaitStatus)
}
