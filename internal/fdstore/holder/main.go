// SPDX-License-Identifier: Apache-2.0

package holder

import (
	"errors"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// What the daemon gives to a holder beside its standard streams.
const (
	socketFD = 3 // the bound socket
	lockFD   = 4 // whoever has it is the only one
)

// SocketName is the socket's name in the holder's directory.
const SocketName = "socket"

// LockName is the name of the lock.
const LockName = "lock"

// Args returns the command line, behind the program's name, that starts the holder of dir. The
// command ends when the holder runs.
func Args(dir string) []string { return []string{"fdstore", "start", dir} }

var errArgs = errors.New("want a step and a directory")

// Main is sardine-init for a command line of Args. It does not return.
func Main(args []string) {
	err := errArgs
	if len(args) == 2 {
		switch args[0] {
		case "start":
			err = start(args[1])
		case "hold":
			err = hold(args[1])
		}
	}
	if err != nil {
		_, _ = unix.Write(2, []byte("sardine-init fdstore: "+err.Error()+"\n"))
		os.Exit(1)
	}
	os.Exit(0)
}

// start makes the holder a process that has nothing to do with the daemon: a child of nobody, in
// a session of its own, in the cgroups that everything else is below.
func start(dir string) error {
	// Whatever the daemon was started with, before Linux 5.11 with what it left open to all.
	_ = unix.CloseRange(lockFD+1, ^uint(0), unix.CLOSE_RANGE_CLOEXEC)
	null, err := kernel.OpenFD("/dev/null", unix.O_RDWR, 0)
	if err != nil {
		return err
	}
	// A heap of a few hundred kilobytes must not become two megabytes of one page.
	_ = unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0)
	attr := &syscall.ProcAttr{
		Dir: "/", Env: []string{"GOMAXPROCS=1", "GODEBUG=containermaxprocs=0,updatemaxprocs=0"},
		Files: []uintptr{uintptr(null), uintptr(null), uintptr(null), socketFD, lockFD},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	if unified := enterRootCgroups(); unified >= 0 {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, unified
		if fork(dir, attr) == nil {
			return nil
		}
		// Refused where the root is a container's. Then it stays with the daemon.
		attr.Sys.UseCgroupFD = false
	}
	return fork(dir, attr)
}

func fork(dir string, attr *syscall.ProcAttr) error {
	_, err := syscall.ForkExec("/proc/self/exe", []string{os.Args[0], "fdstore", "hold", dir}, attr)
	return err
}

// hold is the holder.
func hold(dir string) error {
	// Nothing that is meant for the daemon, its group or its terminal ends this process.
	signal.Ignore()
	write("/proc/self/comm", "sardine-fdstore") // it was executed as "exe"
	debug.SetGCPercent(20)
	h, err := newHolder(dir)
	if err != nil {
		return err
	}
	h.serve()
	return nil
}
