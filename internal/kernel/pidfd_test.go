// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// child starts sh -c script and returns its pidfd.
func child(t *testing.T, script string) int {
	t.Helper()
	pidfd := -1
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{PidFD: &pidfd}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Process.Release() // WaitPidfd reaps it
	if pidfd < 0 {
		t.Skip("kernel without CLONE_PIDFD (5.2)")
	}
	t.Cleanup(func() { unix.Close(pidfd) })
	return pidfd
}

func await(t *testing.T, pidfd int) ExitStatus {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := AwaitPidfd(ctx, pidfd); err != nil {
		t.Fatalf("did not end: %v", err)
	}
	status, ended, err := WaitPidfd(pidfd)
	if err != nil || !ended {
		t.Fatalf("waitid: ended %v, %v", ended, err)
	}
	return status
}

func TestWaitPidfd(t *testing.T) {
	tests := map[string]ExitStatus{
		"exit 0":        {},
		"exit 3":        {Code: 3},
		"exit 255":      {Code: 255},
		"kill -KILL $$": {Signal: unix.SIGKILL},
		"kill -USR1 $$": {Signal: unix.SIGUSR1},
	}
	for script, want := range tests {
		if got := await(t, child(t, script)); got != want {
			t.Errorf("%s: got %+v, want %+v", script, got, want)
		}
	}
}

func TestWaitPidfdOfRunningChildAndOfNone(t *testing.T) {
	pidfd := child(t, "exec sleep 60")
	if _, ended, err := WaitPidfd(pidfd); ended || err != nil {
		t.Errorf("running: ended %v, %v", ended, err)
	}
	if err := PidfdSendSignal(pidfd, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got := await(t, pidfd); got.Signal != unix.SIGKILL {
		t.Errorf("got %+v, want SIGKILL", got)
	}
	if _, _, err := WaitPidfd(pidfd); !errors.Is(err, unix.ECHILD) {
		t.Errorf("reaped: %v, want ECHILD", err)
	}
	if err := PidfdSendSignal(pidfd, unix.SIGKILL); !errors.Is(err, unix.ESRCH) {
		t.Errorf("signal to a reaped process: %v, want ESRCH", err)
	}
}

func TestPidfdOpen(t *testing.T) {
	fd, err := PidfdOpen(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags %x, %v: not close-on-exec", flags, err)
	}
	if _, ended, _ := PidfdExitStatus(fd); ended {
		t.Error("this process has not ended")
	}
}

func TestWaitStatus(t *testing.T) {
	tests := map[uint32]ExitStatus{
		0:        {},
		0x300:    {Code: 3},
		0xff00:   {Code: 255},
		9:        {Signal: unix.SIGKILL},
		11 | 128: {Signal: unix.SIGSEGV, CoreDumped: true},
	}
	for word, want := range tests {
		got := WaitStatus(word)
		if got != want {
			t.Errorf("%#x: got %+v, want %+v", word, got, want)
		}
		if back := got.Word(); back != word {
			t.Errorf("%+v encodes to %#x, not %#x", got, back, word)
		}
	}
}
