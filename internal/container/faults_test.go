// SPDX-License-Identifier: Apache-2.0

//go:build faults

package container

import (
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/fault"
	"github.com/sardine-run/sardine/internal/testnode"
)

// TestEachFault fails each step of a create and finds the node as before.
func TestEachFault(t *testing.T) {
	for _, name := range fault.CreateNames() {
		t.Run(string(name), func(t *testing.T) {
			n := newNode(t)
			spec := n.spec("true")
			spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/true"}}}
			r := n.request("one", spec)
			r.Stdio.Terminal = true
			wantInjected(t, name, func() error { _, err := n.Create(t.Context(), r); return err })
			n.wantNothing()
			n.delete(n.create("one", "true")) // the id is free, nothing is in the way
		})
	}
}

// wantInjected has f fail at a point.
func wantInjected(t *testing.T, name fault.Name, f func() error) {
	t.Helper()
	t.Setenv("SARDINE_FAULTS", string(name)+"=injected")
	defer t.Setenv("SARDINE_FAULTS", "")
	if err := f(); err == nil || !strings.Contains(err.Error(), "fault "+string(name)+": injected") {
		t.Errorf("%s: error %v", name, err)
	}
}

// TestStartFaults: a container whose start fails ends.
func TestStartFaults(t *testing.T) {
	n := newNode(t)
	for _, name := range fault.BeginNames() {
		c := n.create("one", "sleep 1000")
		wantInjected(t, name, func() error { return c.Start(t.Context()) })
		if code := n.wait(c); code != 137 {
			t.Errorf("%s: exit status %d", name, code)
		}
		n.delete(c)
	}
}

// TestExecFaults: an exec whose start fails leaves nothing, and the container as it was.
func TestExecFaults(t *testing.T) {
	n := newNode(t)
	c := n.run("one", "sleep 1000")
	for _, name := range fault.ExecNames() {
		e := n.exec(c, "e", "sleep 1001")
		wantInjected(t, name, func() error { return e.Start(t.Context()) })
		if list := n.commands(c); len(list) != 1 || strings.Contains(list[0], "1001") {
			t.Errorf("%s: %q run", name, list)
		}
		if _, err := e.Delete(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	n.wait(n.runExec(c, "e", "true"))
}

// TestDeleteFaults: what fails can be tried again.
func TestDeleteFaults(t *testing.T) {
	n := newNode(t)
	for _, name := range fault.DeleteNames() {
		c := n.run("one", "exit 3")
		n.wait(c)
		wantInjected(t, name, func() error { _, err := c.Delete(t.Context()); return err })
		n.delete(c)
	}
}

// TestKilled kills the daemon at each step, and has the next one take over: it finds the whole of
// what was done or nothing, and after its deletion the node is as it was before.
func TestKilled(t *testing.T) {
	kept := []fault.Name{fault.KeepPidfd, fault.KeepStdin, fault.KeepTerminal}
	for act, test := range map[string]struct {
		points []fault.Name
		check  func(s *stage, at fault.Name)
	}{
		"create":  {slices.Concat(fault.CreateNames(), kept, []fault.Name{fault.KeepControl}), checkCreated},
		"start":   {fault.BeginNames(), checkStarted},
		"exec":    {slices.Concat(fault.ExecNames(), kept), checkExec},
		"session": {fault.ExecNames(), checkSession},
		"exit":    {[]fault.Name{fault.EndRecord}, checkEnded},
		"delete":  {fault.DeleteNames(), checkDeleted},
	} {
		t.Run(act, func(t *testing.T) {
			s := newStage(t) // one for all points: the node is compared once
			for _, at := range test.points {
				s.playUntilKilled(act, at)
				s.open()
				if err := s.Load(t.Context()); err != nil {
					t.Fatalf("%s: %v", at, err)
				}
				test.check(s, at)
				s.node.close()
				s.drain()
				if t.Failed() {
					t.Fatalf("killed at %s", at)
				}
			}
		})
	}
}

// drain forgets what terminals have shown.
func (s *stage) drain() {
	for _, c := range []*client{s.out, s.execout} {
		buffer := make([]byte, 4096)
		for n := 1; n > 0; {
			n, _ = unix.Read(int(c.Fd()), buffer)
		}
		c.lines.Reset(c.File)
	}
	s.mu.Lock()
	s.events = nil
	s.mu.Unlock()
}

func checkCreated(s *stage, at fault.Name) {
	if at != fault.CreateCommit {
		s.wantNothing()
		if n := s.Store.Len(); n != 0 {
			s.t.Errorf("%d descriptors are kept of nothing", n)
		}
		s.delete(s.create("one", "true"))
		return
	}
	c := s.get("one")
	if state := c.Status().State; state != Created {
		s.t.Fatalf("it is %s", state)
	}
	s.start(c)
	s.expect(s.out, "begun")
	s.talk("in", s.out, "hello")
}

func checkStarted(s *stage, _ fault.Name) {
	c := s.get("one")
	testnode.Eventually(s.t, "it runs", func() bool { return c.Status().State == Running })
	s.expect(s.out, "begun")
	s.talk("in", s.out, "hello")
	s.wantEvents("one started")
	if err := c.Start(s.t.Context()); !errdefs.IsFailedPrecondition(err) {
		s.t.Errorf("a second start: %v", err)
	}
}

func checkExec(s *stage, at fault.Name) {
	c := s.get("one")
	if state := c.Status().State; state != Running {
		s.t.Fatalf("the container is %s", state)
	}
	e, err := c.GetExec("e")
	switch at {
	case fault.ExecProgram:
		if err != nil {
			s.t.Fatal(err)
		}
		s.expect(s.execout, "begun")
		s.talk("execin", s.execout, "hello")
	case fault.ExecRecord: // it waited for its start
		if err != nil {
			s.t.Fatal(err)
		}
		s.wait(e)
	default:
		if !errdefs.IsNotFound(err) {
			s.t.Errorf("what was half made is known: %v", err)
		}
		testnode.Eventually(s.t, "only the container's own process is left", func() bool { return len(s.commands(c)) == 1 })
	}
	s.expect(s.out, "begun")
	s.talk("in", s.out, "hello")
}

func checkSession(s *stage, _ fault.Name) {
	c := s.get("one")
	testnode.Eventually(s.t, "only the container's own process is left", func() bool { return len(s.commands(c)) == 1 })
	if state := c.Status().State; state != Running {
		s.t.Errorf("the container is %s", state)
	}
}

func checkEnded(s *stage, _ fault.Name) {
	if got := s.get("one").Status(); got.State != Stopped || got.Exit.Status != 137 {
		s.t.Errorf("it is %s, exit status %d", got.State, got.Exit.Status)
	}
}

func checkDeleted(s *stage, at fault.Name) {
	if at == fault.DeleteRecord {
		s.wantNothing()
		return
	}
	checkEnded(s, at)
	s.delete(s.get("one"))
	s.delete(s.create("one", "true"))
}
