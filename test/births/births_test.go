// SPDX-License-Identifier: Apache-2.0

package births

import (
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/sardine-run/sardine/internal/testnode"
)

func TestWatch(t *testing.T) {
	testnode.NeedRoot(t)
	if err := exec.Command("true").Run(); err != nil { // before the first one, Go tries out pidfds with another
		t.Fatal(err)
	}
	r := Watch(t, os.Getpid())
	if lines := r.List(); len(lines) > 0 {
		t.Fatalf("before anything is started: %q", lines)
	}
	if err := exec.Command("true").Run(); err != nil {
		t.Fatal(err)
	}
	if lines := r.List(); len(lines) != 1 {
		t.Errorf("after one process: %q", lines)
	}
	r.Forget()
	if lines := r.List(); len(lines) > 0 {
		t.Errorf("after they are forgotten: %q", lines)
	}
	if err := exec.Command("sh", "-c", "(exit 1); (exit 2); :").Run(); err != nil {
		t.Fatal(err)
	}
	if lines := r.List(); len(lines) != 3 {
		t.Errorf("after a shell with two subshells: %q", lines)
	}
	r.Forget()
	newThreads(4)
	if lines := r.List(); len(lines) > 0 {
		t.Errorf("threads are counted: %q", lines)
	}
	// A thread that is younger than the record.
	fromNewThread(func() { _ = exec.Command("true").Run() })
	if lines := r.List(); len(lines) != 1 {
		t.Errorf("after one process of a new thread: %q", lines)
	}
}

// newThreads has the runtime make threads.
func newThreads(count int) {
	done := make(chan struct{})
	for range count {
		go fromNewThread(func() { done <- struct{}{} })
	}
	for range count {
		<-done
	}
}

// fromNewThread runs f on a thread that ends with it.
func fromNewThread(f func()) {
	end := make(chan struct{})
	go func() {
		defer close(end)
		runtime.LockOSThread() // and never unlocked
		f()
	}()
	<-end
}
