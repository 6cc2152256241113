// SPDX-License-Identifier: Apache-2.0

//go:build faults

package pod

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sardine-run/sardine/internal/fault"
)

// failAt arms a point until the returned function is called.
func failAt(t *testing.T, name fault.Name) (disarm func()) {
	t.Helper()
	t.Setenv("SARDINE_FAULTS", string(name)+"=injected")
	return func() { t.Setenv("SARDINE_FAULTS", "") }
}

func wantInjected(t *testing.T, name fault.Name, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "fault "+string(name)+": injected") {
		t.Errorf("%s: error %v", name, err)
	}
}

// TestRunFails fails each step of running a pod and finds the node as before.
func TestRunFails(t *testing.T) {
	n := newNode(t)
	for _, name := range append(fault.RunNames(), fault.RecordWritten, fault.SpacesDir, fault.SpacesPin, fault.NetworkRecord, fault.NetworkAdd) {
		disarm := failAt(t, name)
		_, err := n.RunSandbox(t.Context(), fullPod("one", n.cgroup, n.logs), "")
		wantInjected(t, name, err)
		n.wantNothing()
		disarm()
	}
	n.run(fullPod("one", n.cgroup, n.logs)) // the name is free, nothing is in the way
}

// TestCreateFails fails each step of creating a container.
func TestCreateFails(t *testing.T) {
	n := newNode(t)
	s := n.run(fullPod("one", n.cgroup, n.logs))
	n.images.config.Config.Volumes = map[string]struct{}{"/data": {}}
	for _, name := range append(fault.MakeNames(), fault.RecordWritten) {
		disarm := failAt(t, name)
		_, err := s.CreateContainer(t.Context(), containerConfig("c", forever))
		wantInjected(t, name, err)
		if len(s.Containers())+len(n.AllContainers()) != 0 || n.images.uses.Load() != 0 {
			t.Errorf("%s: %d containers, %d uses of the image", name, len(n.AllContainers()), n.images.uses.Load())
		}
		disarm()
	}
	n.start(n.create(s, containerConfig("c", forever)))
}

// TestStartFails fails each step of starting a container, which is exited then.
func TestStartFails(t *testing.T) {
	n := newNode(t)
	s := n.run(fullPod("one", n.cgroup, n.logs))
	for _, name := range append(fault.StartNames(), fault.RecordWritten, fault.LogFIFOs, fault.LogKept) {
		c := n.create(s, containerConfig("c", forever))
		disarm := failAt(t, name)
		wantInjected(t, name, c.Start(t.Context()))
		disarm()
		if name == fault.StartRecord || name == fault.RecordWritten { // as if it had not been tried
			n.start(c)
		} else if got := c.Status(); got.State != Exited || got.Reason != reasonCannotRun {
			t.Errorf("%s: status %+v", name, got)
		}
		if err := c.Remove(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestEndFails fails each step of an end, which succeeds when it is tried again.
func TestEndFails(t *testing.T) {
	n := newNode(t)
	try := func(name fault.Name, f func() error) {
		disarm := failAt(t, name)
		wantInjected(t, name, f())
		disarm()
		if err := f(); err != nil {
			t.Errorf("%s, again: %v", name, err)
		}
	}
	for _, name := range fault.RemoveNames() {
		s := n.run(fullPod("one", n.cgroup, n.logs))
		c := n.launch(s, "c", forever)
		try(name, func() error { return c.Remove(t.Context()) })
		if err := s.Remove(t.Context()); err != nil {
			t.Error(err)
		}
		n.wantNothing()
	}
	for _, name := range slices.Concat(fault.StopNames(), fault.ForgetNames()) {
		s := n.run(fullPod("one", n.cgroup, n.logs))
		n.launch(s, "c", forever)
		try(name, func() error { return s.Remove(t.Context()) })
		n.wantNothing()
	}
	for _, name := range fault.StopNames() {
		s := n.run(fullPod("one", n.cgroup, n.logs))
		disarm := failAt(t, name)
		wantInjected(t, name, s.Stop(t.Context()))
		disarm()
		if s.Status().Ready {
			t.Errorf("%s: the pod is ready", name)
		}
		if err := s.Remove(t.Context()); err != nil { // does what Stop did not
			t.Errorf("%s, remove: %v", name, err)
		}
		n.wantNothing()
	}
}

// TestNotClearedStaysExited: a container that has ended, which was told, and could not be cleared away is exited for the next daemon from
// the beginning. That clears it away, and tells nothing.
func TestNotClearedStaysExited(t *testing.T) {
	n := newNode(t)
	disarm := failAt(t, fault.DeleteCgroup)
	c := n.launch(n.run(podConfig(n)), "c", "echo bye; exit 3")
	n.exited(c)
	disarm()
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	cleared, goOn := make(chan struct{}), make(chan struct{})
	n.open(func(cfg *Config) {
		cfg.Phase = func(name string, _ time.Duration) {
			if name == string(fault.ExitCleared) { // nobody knows yet
				close(cleared)
				<-goOn
			}
		}
	})
	defer close(goOn)
	events, stop := n.Subscribe()
	defer stop()
	c = n.againContainer(c)
	receive(t, "it is cleared away", cleared)
	if got := c.Status(); got.State != Exited || got.ExitCode != 3 || n.log(c) != "bye\n" {
		t.Fatalf("before that is known: status %+v; it printed %q", got, n.log(c))
	}
	if err := c.Stop(t.Context(), 0); err != nil {
		t.Error(err)
	}
	goOn <- struct{}{}
	if err := c.op.take(t.Context()); err != nil { // until all is done
		t.Fatal(err)
	}
	c.op.release()
	if _, err := n.Manager.Config.Containers.Get(Namespace, c.ID); err == nil {
		t.Error("its task is left")
	}
	if got := c.Status(); got.State != Exited || got.ExitCode != 3 {
		t.Errorf("status %+v", got)
	}
	for len(events) > 0 {
		t.Errorf("told: %+v", <-events)
	}
}

// TestKilled kills the daemon at each step, and has the next one take over.
func TestKilled(t *testing.T) {
	for operation, c := range map[string]struct {
		points []fault.Name
		check  func(n *node, at fault.Name)
	}{
		"run": {append(fault.RunNames(),
			fault.RecordWritten, fault.SpacesStore, fault.SpacesDir, fault.SpacesPin, fault.NetworkRecord, fault.NetworkAdd), checkRun},
		"create": {append(fault.MakeNames(), fault.RecordWritten), checkCreate},
		"start":  {append(fault.StartNames(), fault.RecordWritten, fault.LogFIFOs, fault.LogKept), checkStart},
		"exit":   {[]fault.Name{fault.RecordWritten, fault.ExitNoted, fault.ExitCleared, fault.LogForget}, checkExit},
		"stop":   {append(fault.StopNames(), fault.RecordWritten, fault.NetworkDelete, fault.NetworkForget, fault.SpacesUnpin), checkStop},
		"remove": {fault.RemoveNames(), checkRemove},
		"forget": {append(append(fault.StopNames(), fault.ForgetNames()...), fault.NetworkDelete, fault.NetworkForget, fault.SpacesUnpin), checkForget},
	} {
		for _, at := range c.points {
			t.Run(operation+"/"+string(at), func(t *testing.T) {
				n := prepare(t)
				n.playUntilKilled(operation, at)
				n.open()
				t.Cleanup(n.end)
				c.check(n, at)
				n.restart() // what was taken over is recorded
				c.check(n, at)
			})
		}
	}
}

// only returns what there is of pods and containers, which is one at most.
func (n *node) only() (s *Sandbox, c *Container) {
	n.t.Helper()
	pods, containers := n.Sandboxes(), n.AllContainers()
	if len(pods) > 1 || len(containers) > 1 {
		n.t.Fatalf("%d pods, %d containers", len(pods), len(containers))
	}
	if len(pods) == 1 {
		s = pods[0]
	}
	if len(containers) == 1 {
		c = containers[0]
	}
	return s, c
}

func checkRun(n *node, at fault.Name) {
	s, _ := n.only()
	if at == fault.RunCommit {
		if s == nil || !s.Status().Ready || len(n.leases()) != 1 {
			n.t.Errorf("the pod is lost, or not ready")
		}
		return
	}
	if s != nil {
		n.t.Error("a pod that was half made is there")
	}
	n.wantNothing()
}

func checkCreate(n *node, at fault.Name) {
	s, c := n.only()
	if s == nil || !s.Status().Ready {
		n.t.Fatal("the pod is lost, or not ready")
	}
	if (c != nil) != (at == fault.MakeRecord) {
		n.t.Fatalf("container: %v", c)
	}
	if c == nil {
		c = n.create(s, containerConfig("c", forever)) // the name is free
	}
	if c.Status().State == Created {
		n.start(c)
	}
	if err := c.Remove(n.t.Context()); err != nil {
		n.t.Error(err)
	}
	n.create(s, containerConfig("c", forever)) // for the second look
	if at != fault.MakeRecord {
		_, c = n.only()
		if err := c.Remove(n.t.Context()); err != nil {
			n.t.Error(err)
		}
	}
}

func checkStart(n *node, at fault.Name) {
	s, c := n.only()
	if s == nil || c == nil || !s.Status().Ready {
		n.t.Fatal("the pod or the container is lost")
	}
	if at == fault.RecordWritten { // as if it had not been tried
		if got := c.Status(); got.State != Created {
			n.t.Errorf("status %+v", got)
		}
		return
	}
	if at == fault.StartProgram {
		if got := c.Status(); got.State != Running || got.Pid == 0 {
			n.t.Errorf("status %+v", got)
		}
		return
	}
	// A process that waits for its start ends with the daemon. It cannot be told from a program that does.
	abandoned := at == fault.StartTask || at == fault.StartPlugins
	got := n.exited(c)
	if told := got.Reason == reasonCannotRun || abandoned && got.Reason == reasonError && got.ExitCode != 0; !told || got.Finished.IsZero() {
		n.t.Errorf("status %+v", got)
	}
}

func checkExit(n *node, _ fault.Name) {
	_, c := n.only()
	if c == nil {
		n.t.Fatal("the container is lost")
	}
	if got := n.exited(c); got.ExitCode != 3 || got.Reason != reasonError {
		n.t.Errorf("status %+v", got)
	}
	if text := n.log(c); text != "bye\n" {
		n.t.Errorf("it printed %q", text)
	}
}

func checkStop(n *node, at fault.Name) {
	s, c := n.only()
	if s == nil || c == nil || s.Status().Ready != (at == fault.RecordWritten) {
		n.t.Fatal("the pod is lost, or ready")
	}
	if at == fault.RecordWritten {
		return
	}
	if at != fault.StopRecord {
		if got := n.exited(c); got.ExitCode != 137 {
			n.t.Errorf("status %+v", got)
		}
	}
}

func checkRemove(n *node, _ fault.Name) {
	s, c := n.only()
	if s == nil || !s.Status().Ready {
		n.t.Fatal("the pod is lost, or not ready")
	}
	if c != nil {
		if err := c.Remove(n.t.Context()); err != nil {
			n.t.Error(err)
		}
	}
}

func checkForget(n *node, at fault.Name) {
	s, _ := n.only()
	if (s == nil) != (at == fault.ForgetRecord) {
		n.t.Errorf("pod: %v", s)
	}
	if s != nil && s.Status().Ready {
		n.t.Error("the pod is ready")
	}
}
