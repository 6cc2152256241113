// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os/signal"
	"syscall"
	"unsafe"
)

// forkForever starts copies of itself, which do the same, as fast as the limit of pids lets them. None of them minds SIGTERM. "ready"
// is said once the limit is met. This process itself does nothing any more.
func forkForever(args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("nothing, not %q", args)
	}
	signal.Ignore(syscall.SIGTERM)
	if errno := bomb(); errno != 0 {
		return errno
	}
	for {
		_, _, _ = syscall.RawSyscall6(syscall.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
}

// readyLine is no string, which somebody would have to make bytes of.
var readyLine = [...]byte{'r', 'e', 'a', 'd', 'y', '\n'}

// bomb forks, and so does every process that comes of it, for ever; only this one returns. At the limit they try again every now and
// then, not all the time: what fails costs as much as what succeeds, and an emulated machine would do nothing else.
//
// They are raw forks, with one thread each: a Go program that gets no thread ends. So there is no Go in them but system calls, and
// none that looks at the stack, as most functions do when they begin: where the program is to let another goroutine run, that is when it
// does, and here no other thread ever lets it go on.
//
//go:nosplit
//go:norace
func bomb() syscall.Errno {
	pid, _, errno := syscall.RawSyscall(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0)
	if pid != 0 || errno != 0 {
		return errno
	}
	first := true // and not a copy, which would say it again
	pause := syscall.Timespec{Nsec: 100e6}
	for {
		pid, _, errno = syscall.RawSyscall(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0)
		if errno == 0 {
			first = first && pid != 0
			continue
		}
		if first {
			_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, 1, uintptr(unsafe.Pointer(&readyLine)), unsafe.Sizeof(readyLine))
			first = false
		}
		_, _, _ = syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&pause)), 0, 0)
	}
}
