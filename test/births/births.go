// SPDX-License-Identifier: Apache-2.0

package births

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// Record is what the kernel notes about a process and all that comes from it.
type Record struct {
	t   testing.TB
	dir string // the instance in tracefs
}

// records numbers those of this process.
var records atomic.Int64

// Watch records from now on, to the end of the test, which processes pid and its descendants start.
func Watch(t testing.TB, pid int) *Record {
	t.Helper()
	r := &Record{t: t, dir: filepath.Join(tracefs(t), "instances", fmt.Sprintf("sardine-births-%d-%d", os.Getpid(), records.Add(1)))}
	if err := os.Mkdir(r.dir, 0o700); err != nil {
		t.Fatalf("make a trace: %v", err)
	}
	t.Cleanup(func() {
		r.write("events/task/task_newtask/enable", "0")
		if err := os.Remove(r.dir); err != nil {
			t.Errorf("remove the trace: %v", err)
		}
	})
	r.write("events/task/task_newtask/filter", fmt.Sprintf("!(clone_flags & %#x)", unix.CLONE_THREAD))
	r.write("options/event-fork", "1") // children of whom is traced are traced, and so are threads
	r.follow(pid)
	r.write("events/task/task_newtask/enable", "1")
	return r
}

// follow names every thread of pid to the kernel, until it has made no other one meanwhile.
func (r *Record) follow(pid int) {
	r.t.Helper()
	for known := 0; ; {
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			r.t.Fatal(err)
		}
		if len(threads) == known {
			return
		}
		known = len(threads)
		for _, thread := range threads {
			r.add("set_event_pid", thread.Name())
		}
	}
}

// List returns what was started since the record began or was last forgotten, a line each.
func (r *Record) List() []string {
	r.t.Helper()
	trace, err := os.ReadFile(filepath.Join(r.dir, "trace"))
	if err != nil {
		r.t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(trace)) {
		if strings.Contains(line, "task_newtask: pid=") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// Forget begins anew.
func (r *Record) Forget() {
	r.t.Helper()
	r.write("trace", "")
}

func (r *Record) write(name, text string) {
	r.t.Helper()
	r.to(name, text, os.O_WRONLY|os.O_TRUNC)
}

func (r *Record) add(name, text string) {
	r.t.Helper()
	r.to(name, text, os.O_WRONLY|os.O_APPEND)
}

func (r *Record) to(name, text string, flags int) {
	r.t.Helper()
	f, err := os.OpenFile(filepath.Join(r.dir, name), flags, 0)
	if err == nil && text != "" {
		_, err = f.WriteString(text)
	}
	if errors.Is(err, unix.ESRCH) {
		err = nil // a thread that has ended
	}
	if f != nil {
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		r.t.Fatalf("set up the trace: %s: %v", name, err)
	}
}

// tracefs returns where it is mounted; if nowhere, it is for the time of the test.
func tracefs(t testing.TB) string {
	t.Helper()
	for _, dir := range []string{"/sys/kernel/tracing", "/sys/kernel/debug/tracing"} {
		if _, err := os.Stat(filepath.Join(dir, "instances")); err == nil {
			return dir
		}
	}
	dir := t.TempDir()
	if err := unix.Mount("tracefs", dir, "tracefs", 0, ""); err != nil {
		t.Fatalf("mount tracefs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount tracefs: %v", err)
		}
	})
	return dir
}

// Threads returns how many threads a process has.
func Threads(t testing.TB, pid int) int {
	t.Helper()
	threads, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(threads)
}
