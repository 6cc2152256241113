// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/cgroup"
	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/stdio"
	"github.com/sardine-run/sardine/internal/testnode"
)

// commands lists the command lines that run in c, sorted.
func (n *node) commands(c *Container) []string {
	n.t.Helper()
	pids, err := c.cgroup.Pids()
	if err != nil {
		n.t.Fatal(err)
	}
	var lines []string
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if s, serr := kernel.ReadProcStat(pid); err == nil && serr == nil && !s.Zombie() {
			lines = append(lines, strings.TrimSpace(strings.ReplaceAll(string(text), "\x00", " ")))
		}
	}
	slices.Sort(lines)
	return lines
}

// forkAway is a function that forks sessions while they are ended. A bounded number: on a busy node there
// would be thousands before the test is told of the first.
const forkAway = "f() { i=0; while [ $((i+=1)) -le 200 ]; do setsid sleep 101 & sleep 0.002; done; wait; }"

// TestKillTree: descendants die wherever they have gone, other processes live.
func TestKillTree(t *testing.T) {
	for name, test := range map[string]struct{ script, ready string }{
		"children":        {"sleep 101 & sleep 102 & sleep 103", "sleep 103"},
		"orphans":         {"(sleep 101 & sleep 102 &) ; sleep 103", "sleep 103"},
		"ignoring":        {"trap '' TERM HUP INT; sleep 101 & sleep 102", "sleep 102"},
		"stopped":         {"sleep 101 & kill -STOP $!; sleep 102", "sleep 102"},
		"of own session":  {"setsid sleep 101 & sleep 102", "sleep 102"},
		"below such ones": {"setsid sh -c 'sleep 101 & sleep 102 & wait' & sleep 103", "sleep 103"},
		"forking":         {"f() { while :; do sleep 0.01 & sleep 0.01; done; }; f & f & f & sleep 104", "sleep 104"},
		"forking away":    {forkAway + "; f & f & f & f & wait", "sleep 101"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			c := n.run("one", "sleep 1000 & wait")
			other := n.runExec(c, "other", "sleep 1001 & wait")
			n.awaitCommands(c, "sleep 1000", "sleep 1001")
			before := n.commands(c)
			e := n.runExec(c, "e", test.script)
			n.awaitCommands(c, test.ready)
			if err := e.KillTree(t.Context()); err != nil {
				t.Fatal(err)
			}
			if code := n.wait(e); code != 137 {
				t.Errorf("exit status %d", code)
			}
			if left := n.commands(c); !slices.Equal(left, before) {
				t.Errorf("left: %q\nbefore: %q", left, before)
			}
			if s := other.Status().State; s != Running {
				t.Errorf("the other process is %s", s)
			}
			if err := e.KillTree(t.Context()); !errdefs.IsNotFound(err) {
				t.Errorf("again: %v", err)
			}
		})
	}
}

// TestTreeClaim: who belongs to the process 10, of a container whose first process is 1.
func TestTreeClaim(t *testing.T) {
	member := func(parent, group, session int) kernel.ProcStat {
		return kernel.ProcStat{State: 'S', PPid: parent, Group: group, Session: session}
	}
	zombie := member(10, 10, 10)
	zombie.State = 'Z'
	tree := &tree{known: map[int]bool{10: true, 9: true}} // 9 was found before, and has ended
	others := map[int]kernel.ProcStat{
		1: member(5, 1, 1), 2: member(1, 1, 1), 3: member(1, 3, 3), // the container's own
		10: member(5, 10, 10), 11: member(10, 10, 10), 12: member(11, 12, 12), 13: member(12, 12, 12), // descendants
		20: member(1, 21, 10),                                     // an orphan of its session with a group of its own
		21: member(1, 9, 4),                                       // of the group of an ended one
		22: member(1, 22, 9),                                      // of the session of an ended one
		30: zombie, 31: member(1, 31, 30), 32: member(30, 32, 32), // what a zombie has left
		40: member(1, 40, 40), // an orphan that has gone its own way
	}
	var got []int
	for _, b := range tree.claim(others) {
		got = append(got, b.pid)
	}
	slices.Sort(got)
	if want := []int{10, 11, 12, 13, 20, 21, 22, 31, 32}; !slices.Equal(got, want) {
		t.Errorf("claimed %v, want %v", got, want)
	}
	for _, pid := range []int{1, 2, 3, 40} {
		if tree.known[pid] {
			t.Errorf("%d is claimed", pid)
		}
	}
}

// awaitCommands waits until all of want run in c.
func (n *node) awaitCommands(c *Container, want ...string) {
	n.t.Helper()
	testnode.Eventually(n.t, strings.Join(want, ", "), func() bool {
		have := n.commands(c)
		for _, w := range want {
			if !slices.Contains(have, w) {
				return false
			}
		}
		return true
	})
}

// TestKillTreeSparesDaemons: what has left its parents and their session is the user's.
func TestKillTreeSparesDaemons(t *testing.T) {
	n := newNode(t)
	c := n.run("one", "sleep 1000")
	e := n.runExec(c, "e", "(setsid sleep 101 &); sleep 102")
	n.awaitCommands(c, "sleep 101", "sleep 102")
	if err := e.KillTree(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := n.commands(c); !slices.Contains(left, "sleep 101") || slices.Contains(left, "sleep 102") {
		t.Errorf("left: %q", left)
	}
}

// TestKillTreeFrozen: what cannot die is given up after a while.
func TestKillTreeFrozen(t *testing.T) {
	n := newNode(t)
	c := n.run("one", "sleep 1000")
	e := n.runExec(c, "e", "sleep 101")
	if err := c.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := e.KillTree(ctx)
	if rerr := c.Resume(t.Context()); rerr != nil {
		t.Fatal(rerr)
	}
	if code := n.wait(e); code != 137 {
		t.Errorf("exit status %d", code)
	}
	if n.Cgroups.Mode() != cgroup.Unified && err == nil { // cgroup v2 lets frozen processes die
		t.Error("no error")
	}
}

// TestExecLike: the process is the container's but for what is changed.
func TestExecLike(t *testing.T) {
	n := newNode(t)
	spec := n.spec("sleep 1000")
	spec.Process.Env, spec.Process.Cwd = append(spec.Process.Env, "A=b"), "/tmp"
	c := n.createSpec("one", spec)
	n.start(c)
	e, err := c.ExecLike("e", func(p *specs.Process) {
		p.Args = []string{"sh", "-c", "echo $A $C $PWD >/data/out"}
		p.Env = append(p.Env, "C=d")
	}, stdio.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.wait(e)
	if out, _ := os.ReadFile(filepath.Join(n.image, "data/out")); string(out) != "b d /tmp\n" {
		t.Errorf("it printed %q", out)
	}
}

// TestExecWithFiles: it is recorded while it runs, so that a later daemon can end it.
func TestExecWithFiles(t *testing.T) {
	n := newNode(t)
	c := n.run("one", "sleep 1000")
	reader, program, err := kernel.OutputPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	e, err := c.ExecLike("e", func(p *specs.Process) { p.Args = []string{"sh", "-c", "echo hello; sleep 101"} },
		stdio.Config{Files: &stdio.Files{Stdout: program}})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 6)
	if _, err := reader.Read(text); err != nil || string(text) != "hello\n" {
		t.Errorf("read %q, %v", text, err)
	}
	recorded := func(want int) {
		t.Helper()
		if files, _ := filepath.Glob(filepath.Join(c.Bundle(), execPrefix+"*")); len(files) != want {
			t.Errorf("recorded: %q", files)
		}
	}
	recorded(1)
	if err := e.Kill(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	n.wait(e)
	if n, err := reader.Read(text); n != 0 || err == nil {
		t.Errorf("the pipe has another end: read %d, %v", n, err)
	}
	if _, err := e.Delete(t.Context()); err != nil {
		t.Error(err)
	}
	recorded(0)
}
