// SPDX-License-Identifier: Apache-2.0

package exits

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sardine-run/sardine/internal/testnode"
)

// lastThreadsCode is what threads.c gives to the threads other than the first. When no
// thread ends the group, Linux up to 5.18 or so reports the code of the first thread, later ones
// that of the last.
const lastThreadsCode = 9

func TestWatchReportsHowChildrenEnd(t *testing.T) {
	noLeaks(t)
	w := newWatcher(t, bpffs(t))
	tests := []struct {
		name    string
		argv    []string
		threads string // instead of argv: what testdata/threads.c is to do
		code    uint32
		signal  syscall.Signal
		later   uint32 // code on later kernels, if it differs
	}{
		{name: "exit 0", argv: sh("exit 0")},
		{name: "exit 3", argv: sh("exit 3"), code: 3},
		{name: "exit 255", argv: sh("exit 255"), code: 255},
		{name: "killed", argv: sh("kill -KILL $$"), code: 137, signal: syscall.SIGKILL},
		{name: "terminated", argv: sh("kill -TERM $$"), code: 143, signal: syscall.SIGTERM},
		{name: "exec", argv: sh("exec /bin/sh -c 'exit 4'"), code: 4},
		{name: "first thread ends, then the group exits", threads: "leader-first-group-exit", code: 7},
		{name: "first thread ends, then the last", threads: "leader-first-thread-exit", code: 5, later: lastThreadsCode},
		{name: "first thread ends, then a signal", threads: "leader-first-signal", code: 139, signal: syscall.SIGSEGV},
		{name: "first thread ends, then another execs", threads: "leader-first-exec", code: 11},
		{name: "another thread execs", threads: "thread-exec", code: 12},
		{name: "all threads end together", threads: "together", code: 5, later: lastThreadsCode},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.threads != "" {
				test.argv = []string{compileThreads(t), test.threads}
			}
			child := startChild(t, test.argv...)
			began := time.Now()
			reported := newOutcome()
			if err := w.Watch(child.Child, reported.call); err != nil {
				t.Fatal(err)
			}
			child.release.Close()
			got := reported.one(t)
			if test.later != 0 && got.Code == test.later {
				test.code = test.later
			}
			if got.Code != test.code || got.Signal != test.signal || got.Source != SourceWaitid || got.Reason != "" {
				t.Errorf("got %+v, want code %d signal %d from waitid", got, test.code, test.signal)
			}
			if got.At.Before(began.Add(-time.Millisecond)) || got.At.After(time.Now().Add(time.Millisecond)) {
				t.Errorf("ended at %v, not between %v and now", got.At, began)
			}
			recorded, ok := w.recorder.status(child.Identity)
			if !ok || recorded.Code != test.code || recorded.Signal != test.signal {
				t.Errorf("eBPF recorded %+v, %v", recorded, ok)
			}
		})
	}
}

// sh is the argv of a shell that runs script once it has read a line or the end of stdin.
func sh(script string) []string { return []string{"/bin/sh", "-c", "read go; " + script} }

func TestThreadsThatEndTogether(t *testing.T) {
	threads := compileThreads(t)
	w := newWatcher(t, bpffs(t))
	for range 50 {
		child := startChild(t, threads, "together")
		reported := newOutcome()
		if err := w.Watch(child.Child, reported.call); err != nil {
			t.Fatal(err)
		}
		child.release.Close()
		got := reported.one(t)
		recorded, ok := w.recorder.status(child.Identity)
		if !ok || recorded.Code != got.Code || (got.Code != 5 && got.Code != lastThreadsCode) {
			t.Fatalf("waitid says %d, eBPF %d (%v)", got.Code, recorded.Code, ok)
		}
		w.Forget(child.Identity)
	}
}

func TestWatchChildThatEndedBefore(t *testing.T) {
	noLeaks(t)
	dir := bpffs(t)
	w := newWatcher(t, dir)
	child := shell(t, "exit 9")
	child.release.Close()
	awaitZombie(t, child.Identity)
	reported := newOutcome()
	if err := w.Watch(child.Child, reported.call); err != nil {
		t.Fatal(err)
	}
	if got := reported.one(t); got.Code != 9 {
		t.Errorf("got %+v, want code 9", got)
	}
	// The program has missed it, yet a daemon started later must know.
	later := newOutcome()
	if err := newWatcher(t, dir).Adopt(child.Identity, nil, later.call); err != nil {
		t.Fatal(err)
	}
	if got := later.one(t); got.Code != 9 || got.Source != SourceBPF {
		t.Errorf("a later daemon got %+v, want code 9 from bpf", got)
	}
}

func TestWatchWithoutBPF(t *testing.T) {
	noLeaks(t)
	w := newWatcher(t, "")
	if w.BPF() == nil {
		t.Error("BPF() should say that it is off")
	}
	child := shell(t, "exit 3")
	reported := newOutcome()
	if err := w.Watch(child.Child, reported.call); err != nil {
		t.Fatal(err)
	}
	child.release.Close()
	if got := reported.one(t); got.Code != 3 || got.Source != SourceWaitid {
		t.Errorf("got %+v", got)
	}
	w.Forget(child.Identity)
	w.Prune(func(Identity) bool { return false })
}

func TestNewSaysWhyBPFIsOff(t *testing.T) {
	w, err := New(Options{BPFDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.BPF(); err == nil || !strings.Contains(err.Error(), "bpffs") {
		t.Errorf("BPF() = %v, want a word on the missing bpffs", err)
	}
}

func TestManyChildrenWithSlowCallbacks(t *testing.T) {
	noLeaks(t)
	w := newWatcher(t, "")
	const children = 60
	reported := make(outcome, children)
	for range children {
		child := shell(t, "exit 2")
		slow := func(s Status) {
			time.Sleep(time.Millisecond)
			reported.call(s)
		}
		if err := w.Watch(child.Child, slow); err != nil {
			t.Fatal(err)
		}
		child.release.Close()
	}
	for range children {
		select {
		case s := <-reported:
			if s.Code != 2 {
				t.Errorf("got %+v", s)
			}
		case <-time.After(testnode.Patience):
			t.Fatal("an exit was not reported")
		}
	}
	if left := w.poller.len(); left != 0 {
		t.Errorf("%d watches left", left)
	}
}

func TestCloseTwiceLeavesRunningProcessesAlone(t *testing.T) {
	noLeaks(t)
	w := newWatcher(t, "")
	child := shell(t, "exit 1")
	if err := w.Watch(child.Child, func(Status) { t.Error("called after Close") }); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if !child.runs() {
		t.Error("the process is gone")
	}
	child.release.Close()
	reap(t, child.Pid)

	second := shell(t, "exit 1")
	second.release.Close()
	if err := w.Watch(second.Child, func(Status) {}); err == nil {
		t.Error("Watch after Close succeeded")
	}
	reap(t, second.Pid)
}

func awaitZombie(t testing.TB, id Identity) {
	t.Helper()
	for deadline := time.Now().Add(testnode.Patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if text, err := os.ReadFile("/proc/" + itoa(id.Pid) + "/stat"); err == nil && strings.Contains(string(text), ") Z ") {
			return
		}
	}
	t.Fatalf("%v did not end", id)
}

func reap(t testing.TB, pid int) {
	t.Helper()
	if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
		t.Errorf("wait for %d: %v", pid, err)
	}
}

// TestCloseWhileChildrenEnd: what was reaped is reported, what was not is still a zombie.
func TestCloseWhileChildrenEnd(t *testing.T) {
	noLeaks(t)
	for range 20 {
		w := newWatcher(t, "")
		const children = 10
		reported := make(outcome, children)
		pids := make([]int, children)
		releases := make([]process, children)
		for i := range releases {
			child := shell(t, "exit 2")
			if err := w.Watch(child.Child, reported.call); err != nil {
				t.Fatal(err)
			}
			releases[i], pids[i] = child, child.Pid
		}
		for _, child := range releases {
			child.release.Close()
		}
		time.Sleep(500 * time.Microsecond)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		zombies := 0
		for _, pid := range pids {
			if _, err := syscall.Wait4(pid, nil, 0, nil); err == nil {
				zombies++
			}
		}
		if seen := len(reported); seen+zombies != children {
			t.Fatalf("%d reported and %d left to reap, of %d", seen, zombies, children)
		}
	}
}
