// SPDX-License-Identifier: Apache-2.0

package container

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/stdio"
)

func TestExec(t *testing.T) {
	n := newNode(t)
	c := n.run("one", "sleep 100")
	e := n.exec(c, "e", "echo $$ >/data/pid; exit 5")
	if s := e.Status(); s.State != Created || s.Pid != 0 {
		t.Errorf("added: %+v", s)
	}
	if err := e.Kill(unix.SIGTERM); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("kill before start: %v", err)
	}
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code := n.wait(e); code != 5 {
		t.Errorf("exit status %d", code)
	}
	if err := e.Kill(unix.SIGTERM); !errdefs.IsNotFound(err) {
		t.Errorf("kill after the end: %v", err)
	}
	if err := e.Start(t.Context()); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("second start: %v", err)
	}
	if s, err := e.Delete(t.Context()); err != nil || s.Exit.Status != 5 {
		t.Errorf("delete: %+v, %v", s, err)
	}
	if _, err := c.GetExec("e"); !errdefs.IsNotFound(err) {
		t.Errorf("get after delete: %v", err)
	}
	if pid, _ := os.ReadFile(filepath.Join(n.image, "data/pid")); strings.TrimSpace(string(pid)) == "1" || len(pid) == 0 {
		t.Errorf("the process saw the pid %q", pid)
	}
	n.wantEvents("one created", "one started", "one/e exec-added", "one/e exec-started", "one/e exited 5")
}

func TestExecIDs(t *testing.T) {
	n := newNode(t)
	c := n.run("one", "sleep 100")
	n.exec(c, "e", "true")
	if _, err := c.Exec("e", &specs.Process{}, stdio.Config{}); !errdefs.IsAlreadyExists(err) {
		t.Errorf("second exec of one id: %v", err)
	}
	for _, id := range []string{"", "a/b", "..", strings.Repeat("x", 300)} {
		if _, err := c.Exec(id, &specs.Process{}, stdio.Config{}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("exec %q: %v", id, err)
		}
	}
}

// TestExecEndsFirst: the ends of executed processes are told before the container's, also
// when the container's first process is what ends them.
func TestExecEndsFirst(t *testing.T) {
	n := newNode(t)
	c := n.run("one", "sleep 100")
	for _, id := range []string{"a", "b", "c"} {
		n.runExec(c, id, "sleep 100")
	}
	if p, err := c.Pids(); err != nil || !slices.ContainsFunc(p, func(p Process) bool { return p.ExecID == "b" }) {
		t.Errorf("processes: %+v, %v", p, err)
	}
	if err := c.Kill(unix.SIGKILL, false); err != nil {
		t.Fatal(err)
	}
	n.wait(c)
	events := n.told()
	if last := events[len(events)-1]; last != "one exited 137" {
		t.Errorf("the last event is %q of %q", last, events)
	}
	for _, want := range []string{"one/a exited 137", "one/b exited 137", "one/c exited 137"} {
		if !slices.Contains(events, want) {
			t.Errorf("no %q in %q", want, events)
		}
	}
	if _, err := c.Exec("late", &specs.Process{}, stdio.Config{}); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("exec in a stopped container: %v", err)
	}
	n.delete(c) // with execs that nobody has deleted
}

func TestExecFails(t *testing.T) {
	n := newNode(t)
	c := n.run("one", "sleep 100")
	e, err := c.Exec("e", &specs.Process{Args: []string{"/no/such"}, Cwd: "/"}, stdio.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "/no/such") {
		t.Errorf("start: %v", err)
	}
	n.wait(e)
	if s := e.Status(); s.State != Stopped || s.Exit.Status != 255 {
		t.Errorf("after a failed start: %+v", s)
	}
	if _, err := e.Delete(t.Context()); err != nil {
		t.Error(err)
	}
	if err := c.Kill(unix.SIGKILL, false); err != nil {
		t.Fatal(err)
	}
	n.wait(c) // the failed one must not hold up the container's end
	n.wantEvents("one created", "one started", "one/e exec-added", "one exited 137")
}

func TestExecDeleteWhileRunning(t *testing.T) {
	n := newNode(t)
	c := n.run("one", "sleep 100")
	e := n.runExec(c, "e", "sleep 100")
	if _, err := e.Delete(t.Context()); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("delete while running: %v", err)
	}
	if err := c.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := e.Status().State; s != Paused {
		t.Errorf("in a paused container it is %s", s)
	}
	if err := c.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.Kill(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code := n.wait(e); code != 137 {
		t.Errorf("exit status %d", code)
	}
	if s := c.Status().State; s != Running {
		t.Errorf("the container is %s", s)
	}
}

// TestExecInCreated: a container may get processes before its own program runs.
func TestExecInCreated(t *testing.T) {
	n := newNode(t)
	c := n.create("one", "sleep 100")
	if code := n.wait(n.runExec(c, "e", "exit 4")); code != 4 {
		t.Errorf("exit status %d", code)
	}
}
