// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"syscall"
	"testing"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/test/cri"
)

// load is what one release has made and another one takes over.
type load struct {
	*node
	bridged, shared, over *cri.Pod
	ip                    string
	// stays and holds run all the time, in the first two pods; ends and killed end while no daemon runs; early before
	// that; waits is not started before the other release runs.
	stays, holds, ends, killed, early, waits *container
	// terminal runs on one.
	terminal *container

	taskStays, taskEnds *task
	exec                *program
}

// populate makes everything.
func (n *node) populate() *load {
	n.t.Helper()
	l := &load{node: n}
	l.bridged = n.RunPod()
	l.shared = n.RunPod(cri.HostNetwork, func(c *runtime.PodSandboxConfig) {
		c.Linux.SecurityContext.NamespaceOptions.Pid = runtime.NamespaceMode_POD
	})
	l.over = n.RunPod()
	l.ip = n.address(l.bridged)
	l.stays, l.ends = n.start(n.create(l.bridged, "stays", 3)), n.start(n.create(l.bridged, "ends", 4))
	l.holds, l.killed = n.start(n.create(l.shared, "holds", 5)), n.start(n.create(l.shared, "killed", 6))
	l.early, l.waits = n.start(n.create(l.over, "early", 7)), n.create(l.bridged, "waits", 8)
	l.terminal = n.start(n.createOn(l.shared, "terminal", 13, true))
	n.StopContainer(l.early.id, 20)
	n.ended(l.early, 7)
	if _, err := n.Runtime.StopPodSandbox(n.t.Context(), &runtime.StopPodSandboxRequest{PodSandboxId: l.over.ID}); err != nil {
		n.t.Fatal(err)
	}
	l.taskStays, l.taskEnds = n.runTask("task-stays", 9), n.runTask("task-ends", 10)
	l.exec = n.execute(l.taskStays, "exec", 11)
	return l
}

// replace ends the daemon, has some programs end while none runs, and goes on with another release.
func (l *load) replace(end func(), program string) {
	l.t.Helper()
	end()
	l.signal(l.ends.pid, syscall.SIGTERM)
	l.signal(l.killed.pid, syscall.SIGKILL)
	l.signal(l.taskEnds.pid, syscall.SIGTERM)
	l.run(program)
}

// check finds everything as it was, and what has ended with its exit code.
func (l *load) check() {
	l.t.Helper()
	l.goesOn(l.stays)
	l.goesOn(l.holds)
	l.ended(l.ends, 4)
	l.ended(l.killed, 137)
	l.sameEnd(l.early)
	// What the previous release had not read when they ended it could not keep.
	l.logged(l.ends, false, false)
	l.logged(l.killed, false, false)
	l.logged(l.early, false, true)
	if ip := l.address(l.bridged); ip != l.ip {
		l.t.Errorf("the pod has the IP %s, had %s", ip, l.ip)
	}
	if got := l.Status(l.waits.id); got.State != runtime.ContainerState_CONTAINER_CREATED {
		l.t.Errorf("what was not started is %v", got)
	}
	l.taskGoesOn(l.taskStays)
	l.endTask(l.taskEnds, 10)
}

// again finds everything as it was after one more restart.
func (l *load) again() {
	l.t.Helper()
	l.goesOn(l.stays)
	l.goesOn(l.holds)
	l.sameEnd(l.ends)
	l.sameEnd(l.killed)
	l.sameEnd(l.early)
	if ip := l.address(l.bridged); ip != l.ip {
		l.t.Errorf("the pod has the IP %s, had %s", ip, l.ip)
	}
	l.taskGoesOn(l.taskStays)
}

// use does something new with the pods of the earlier release.
func (l *load) use() {
	l.t.Helper()
	l.start(l.waits)
	fresh := l.start(l.create(l.shared, "fresh", 12))
	l.StopContainer(fresh.id, 20)
	l.ended(fresh, 12)
	l.logged(fresh, false, true)
}

// end ends and removes everything. What lived through all releases has lost nothing.
func (l *load) end() {
	l.t.Helper()
	for c, code := range map[*container]int32{l.stays: 3, l.holds: 5, l.waits: 8} {
		l.StopContainer(c.id, 20)
		l.ended(c, code)
		l.logged(c, false, true)
	}
	for _, pod := range []*cri.Pod{l.bridged, l.shared, l.over} {
		pod.Remove()
	}
	if left := l.Addresses(); len(left) > 0 {
		l.t.Errorf("addresses %q are still in use", left)
	}
	size := l.exec.written(l.t)
	l.Eventually("the executed program goes on", func() bool { return l.exec.written(l.t) > size })
	l.MustCtr("tasks", "kill", "--signal", "SIGTERM", "task-stays")
	l.endTask(l.taskStays, 9)
	l.Restart() // one that took something over keeps a few pipes to read logs with
	l.Restarted()
}

// TestUpgrade replaces the previous release by the present one.
func TestUpgrade(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(*node)
	}{
		{"stopped", func(n *node) { n.Stop() }},
		{"kill -9", func(n *node) { n.Kill9() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := newNode(t)
			n.Stop()
			n.run(n.previous)
			l := n.populate()
			l.replace(func() { test.end(n) }, present)
			l.check()
			l.ended(l.terminal, 129) // SIGHUP: the previous release kept no terminal
			l.logged(l.terminal, false, false)
			l.use()
			n.Kill9()
			n.run(present)
			l.again()
			l.end()
		})
	}
}

// TestDowngrade goes back to the previous release, and forward again. That one does not know of terminals that are kept:
// a program on one waits for the release that does.
func TestDowngrade(t *testing.T) {
	n := newNode(t)
	l := n.populate()
	l.replace(n.Stop, n.previous)
	l.check()
	if pid := n.pidOf(l.terminal.id); pid != l.terminal.pid {
		t.Errorf("what runs on a terminal has process %d, had %d", pid, l.terminal.pid)
	}
	l.use()
	n.Stop()
	n.run(present)
	l.again()
	l.goesOn(l.terminal)
	n.StopContainer(l.terminal.id, 20)
	l.ended(l.terminal, 13)
	l.logged(l.terminal, false, true)
	l.end()
}
