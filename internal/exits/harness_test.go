// SPDX-License-Identifier: Apache-2.0

package exits

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/testnode"
)

// bpffs mounts a private bpffs for one test and returns it, or skips with the reason.
func bpffs(t testing.TB) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to load eBPF programs")
	}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		t.Skip("kernel without BTF: ", err)
	}
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Skip("cannot mount a bpffs: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount bpffs: %v", err)
		}
	})
	return filepath.Join(dir, "pins")
}

// newWatcher makes a Watcher that is closed after the test; dir "" is without eBPF.
func newWatcher(t testing.TB, dir string) *Watcher {
	t.Helper()
	w, err := New(Options{BPFDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if dir != "" && w.BPF() != nil {
		t.Fatalf("eBPF should work here: %v", w.BPF())
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return w
}

// process is a child that waits for a byte on its stdin before it does what it is for.
type process struct {
	Child
	release io.Closer
}

// startChild starts argv as a child of the test, which reaps it through a Watcher only.
func startChild(t testing.TB, argv ...string) process {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	pidfd := -1
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin = read
	cmd.SysProcAttr = &syscall.SysProcAttr{PidFD: &pidfd}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if pidfd < 0 {
		t.Skip("kernel without CLONE_PIDFD")
	}
	id, err := ReadIdentity(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Process.Release() // os/exec must not wait for it
	t.Cleanup(func() { write.Close() })
	return process{Child: Child{Identity: id, Pidfd: os.NewFile(uintptr(pidfd), "pidfd")}, release: write}
}

// shell starts sh -c script once a byte was read.
func shell(t testing.TB, script string) process {
	return startChild(t, "/bin/sh", "-c", "read go; "+script)
}

// outcome collects the callbacks of one process.
type outcome chan Status

func newOutcome() outcome { return make(outcome, 8) }

func (o outcome) call(s Status) { o <- s }

// one returns the status and fails unless there was exactly one in time.
func (o outcome) one(t testing.TB) Status {
	t.Helper()
	select {
	case s := <-o:
		select {
		case second := <-o:
			t.Fatalf("called twice: %+v, %+v", s, second)
		case <-time.After(time.Millisecond):
		}
		return s
	case <-time.After(testnode.Patience):
		t.Fatal("no exit reported")
	}
	return Status{}
}

// compileThreads builds testdata/threads.c and returns the program's path. A machine without
// a compiler, such as the one of test/vm, may have it ready as testdata/threads.
func compileThreads(t testing.TB) string {
	t.Helper()
	if ready, err := filepath.Abs("testdata/threads"); err == nil {
		if _, err := os.Stat(ready); err == nil {
			return ready
		}
	}
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("needs a C compiler for a program with bare threads: ", err)
	}
	program := filepath.Join(t.TempDir(), "threads")
	if out, err := exec.Command(cc, "-O1", "-o", program, "testdata/threads.c", "-pthread").CombinedOutput(); err != nil {
		t.Fatalf("compile: %v\n%s", err, out)
	}
	return program
}

// noLeaks fails the test if it leaves descriptors or goroutines of this package.
func noLeaks(t *testing.T) {
	t.Helper()
	before := descriptors(t)
	t.Cleanup(func() {
		if after := descriptors(t); after != before {
			t.Errorf("descriptors before:\n%s\nafter:\n%s", before, after)
		}
		// A goroutine that was waited for may still be on its last instruction.
		for deadline := time.Now().Add(testnode.Patience); leftGoroutines() != ""; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("goroutines left:\n%s", leftGoroutines())
				break
			}
		}
	})
}

// leftGoroutines returns all stacks if one of them is this package's.
func leftGoroutines() string {
	buf := make([]byte, 1<<20)
	stacks := string(buf[:runtime.Stack(buf, true)])
	if strings.Contains(stacks, "exits.(*poller)") || strings.Contains(stacks, "exits.(*dispatcher)") {
		return stacks
	}
	return ""
}

// descriptors lists the pidfds, epolls and eBPF objects this process has open. Files the
// test framework opens do not matter.
func descriptors(t testing.TB) string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	runtimeEpoll := true
	var open []string
	for _, entry := range entries {
		target, _ := os.Readlink("/proc/self/fd/" + entry.Name())
		if strings.Contains(target, "eventpoll") && runtimeEpoll {
			runtimeEpoll = false // the first is the Go runtime's
			continue
		}
		for _, kind := range []string{"pidfd", "eventpoll", "bpf"} {
			if strings.Contains(target, kind) {
				open = append(open, entry.Name()+" "+target)
			}
		}
	}
	return strings.Join(open, "\n")
}
