// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// A stop meets everything that can happen at the same time. The container ends once, with the right code, and one event tells it.
// One daemon serves all subtests; in the last ones it is killed.
func TestStopRaces(t *testing.T) {
	sardineOnly(t)
	n := StartNode(t)
	n.Pull(Busybox)
	s := &stops{node: n, events: n.follow()}
	t.Run("together", func(t *testing.T) {
		for name, run := range map[string]func(*testing.T){
			"exit": s.exit, "exec": s.exec, "another": s.another, "removal": s.removal, "pod": s.pod,
			"ignoring": s.ignoring, "frozen": s.frozen, "bomb": s.bomb,
		} {
			t.Run(name, func(t *testing.T) { t.Parallel(); run(t) })
		}
	})
	t.Run("kill-9", s.kill9)
}

type stops struct {
	node   *Node
	events *eventLog
}

// rounds is how often each race is run.
const rounds = 8

// long is a grace, in seconds, that nothing needs that ends by itself or by SIGTERM.
const long = 100

// together makes calls at the same time, each after a moment.
func together(calls ...func() error) error {
	errs := make([]error, len(calls))
	var running sync.WaitGroup
	for i, call := range calls {
		pause := time.Duration(rand.IntN(3000)) * time.Microsecond
		running.Go(func() {
			time.Sleep(pause) // any order
			errs[i] = call()
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// stopping is a call that stops a container.
func (n *Node) stopping(id string, grace int64) func() error {
	return func() error {
		ctx, cancel := n.context()
		defer cancel()
		if _, err := n.Runtime.StopContainer(ctx, &runtime.StopContainerRequest{ContainerId: id, Timeout: grace}); err != nil {
			return fmt.Errorf("stop the container: %w", err)
		}
		return nil
	}
}

// stoppingPod is a call that stops a pod.
func (n *Node) stoppingPod(pod *Pod) func() error {
	return func() error {
		ctx, cancel := n.context()
		defer cancel()
		_, err := n.Runtime.StopPodSandbox(ctx, &runtime.StopPodSandboxRequest{PodSandboxId: pod.ID})
		return err
	}
}

// orGone is a call that may come too late.
func orGone(call func() error) func() error {
	return func() error {
		err := call()
		if code := status.Code(errors.Unwrap(err)); code == codes.NotFound {
			return nil
		}
		return err
	}
}

// ended wants a container to have ended, with one of the codes, and that one event has told it.
func (s *stops) ended(t *testing.T, id string, want ...int32) {
	t.Helper()
	n := s.node.In(t)
	got := n.Status(id)
	if got.State != runtime.ContainerState_CONTAINER_EXITED {
		t.Errorf("the container is %v", got.State)
	}
	right := false
	for _, code := range want {
		right = right || got.ExitCode == code
	}
	if !right || got.FinishedAt < got.StartedAt {
		t.Errorf("exit code %d, want %d; started %d, finished %d", got.ExitCode, want, got.StartedAt, got.FinishedAt)
	}
	s.toldOnce(t, id)
	if left := n.inContainer(id); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
}

// toldOnce wants one event of a container's end, which may come a moment after the call.
func (s *stops) toldOnce(t *testing.T, id string) {
	t.Helper()
	s.node.In(t).Eventually("the end is told", func() bool { return s.events.count(runtime.ContainerEventType_CONTAINER_STOPPED_EVENT, id) > 0 })
	if times := s.events.count(runtime.ContainerEventType_CONTAINER_STOPPED_EVENT, id); times != 1 {
		t.Errorf("the end was told %d times", times)
	}
}

func (l *eventLog) count(kind runtime.ContainerEventType, id string) (times int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, seen := range l.seen {
		if seen == kind.String()+" "+id {
			times++
		}
	}
	return times
}

// inContainer lists the processes in a container's cgroup. Of what ended while no daemon ran, something else may be the parent, which takes
// its time to reap them: these have no program any more.
func (n *Node) inContainer(id string) []string {
	n.t.Helper()
	var pids []string
	for _, pid := range n.inCgroup() {
		if text, _ := os.ReadFile("/proc/" + pid + "/cgroup"); strings.Contains(string(text), id) && exists("/proc/"+pid+"/exe") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// prepared runs a container and waits until it says that it is ready for SIGTERM: before, the first process of a pid namespace does not
// get it.
func (p *Pod) prepared(name, command string) string {
	p.node.t.Helper()
	id := p.Run(name, command)
	p.node.Eventually("it is ready", func() bool { return strings.Contains(p.Log(name), " ready\n") })
	return id
}

const (
	// minding ends at once with 0.
	minding = "trap 'exit 0' TERM; echo ready; while :; do sleep 100000 & wait; done"
	// ignoring does not mind SIGTERM.
	ignoring = "exec payload ignore-term"
)

// exit: the first process of a pid namespace that has no handler does not get SIGTERM, so the code is its own.
func (s *stops) exit(t *testing.T) {
	n := s.node.In(t)
	pod := n.RunPod(HostNetwork)
	for i := range rounds {
		id := pod.Run("c"+itoa(i), "usleep 5000; exit 7")
		time.Sleep(time.Duration(rand.IntN(8000)) * time.Microsecond)
		if err := together(n.stopping(id, long), n.stopping(id, long)); err != nil {
			t.Error(err)
		}
		s.ended(t, id, 7)
	}
	pod.Remove()
}

// exec: what was executed ends with its container, and its client is told.
func (s *stops) exec(t *testing.T) {
	n := s.node.In(t)
	pod := n.RunPod(HostNetwork)
	for i := range rounds {
		id := pod.prepared("c"+itoa(i), minding)
		exec := func() error {
			answer, err := n.execOf(id, "sleep", "100")
			if err == nil && answer.ExitCode != 137 {
				return fmt.Errorf("exec: %v", answer)
			}
			if code := status.Code(err); code == codes.DeadlineExceeded {
				return fmt.Errorf("exec: %w", err)
			}
			return nil
		}
		if err := together(n.stopping(id, long), exec, exec, exec); err != nil {
			t.Error(err)
		}
		s.ended(t, id, 0)
	}
	pod.Remove()
}

// another: the shortest grace counts.
func (s *stops) another(t *testing.T) {
	n := s.node.In(t)
	pod := n.RunPod(HostNetwork)
	for i := range rounds {
		id := pod.prepared("c"+itoa(i), ignoring)
		began := time.Now()
		if err := together(n.stopping(id, long), n.stopping(id, 0), n.stopping(id, long/2), n.stopping(id, long)); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > long/2*time.Second {
			t.Errorf("it took %v", took)
		}
		s.ended(t, id, 137)
	}
	pod.Remove()
}

// removal: of the container that is being stopped.
func (s *stops) removal(t *testing.T) {
	n := s.node.In(t)
	pod := n.RunPod(HostNetwork)
	for i := range rounds {
		id := pod.Run("c"+itoa(i), []string{minding, ignoring}[i%2]) // which may not be ready
		remove := func() error {
			ctx, cancel := n.context()
			defer cancel()
			_, err := n.Runtime.RemoveContainer(ctx, &runtime.RemoveContainerRequest{ContainerId: id})
			return err
		}
		if err := together(orGone(n.stopping(id, long)), remove, remove); err != nil {
			t.Error(err)
		}
		if _, err := n.status(id); status.Code(err) != codes.NotFound {
			t.Errorf("status of what is removed: %v", err)
		}
		s.toldOnce(t, id)
		n.Eventually("its removal is told", func() bool { return s.events.count(runtime.ContainerEventType_CONTAINER_DELETED_EVENT, id) == 1 })
		if left := n.inContainer(id); len(left) > 0 {
			t.Errorf("processes are left: %v", left)
		}
	}
	pod.Remove()
}

// pod: all of a pod's containers, by every call that ends them.
func (s *stops) pod(t *testing.T) {
	n := s.node.In(t)
	for range rounds / 2 {
		pod := n.RunPod()
		var ids []string
		for i, command := range []string{minding, ignoring, "echo ready; usleep 3000; exit 7", "echo ready; while :; do :; done"} {
			ids = append(ids, pod.prepared("c"+itoa(i), command))
		}
		stop := n.stoppingPod(pod)
		if err := together(stop, stop, stop, n.stopping(ids[0], long), n.stopping(ids[1], long), n.stopping(ids[3], long)); err != nil {
			t.Error(err)
		}
		s.ended(t, ids[0], 0, 137) // by SIGTERM or SIGKILL, whichever came first
		s.ended(t, ids[1], 137)
		s.ended(t, ids[2], 7, 137)
		s.ended(t, ids[3], 137)
		remove := func() error {
			ctx, cancel := n.context()
			defer cancel()
			_, err := n.Runtime.RemovePodSandbox(ctx, &runtime.RemovePodSandboxRequest{PodSandboxId: pod.ID})
			return err
		}
		if err := together(stop, remove, remove, remove); err != nil {
			t.Error(err)
		}
		for _, id := range ids {
			s.toldOnce(t, id)
		}
	}
}

// ignoring: SIGKILL after the grace, and not before.
func (s *stops) ignoring(t *testing.T) {
	n := s.node.In(t)
	pod := n.RunPod(HostNetwork)
	id := pod.prepared("c", ignoring)
	began := time.Now()
	if err := together(n.stopping(id, 1), n.stopping(id, 1), n.stopping(id, long)); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took < time.Second || took > long/2*time.Second {
		t.Errorf("it took %v, want a second", took)
	}
	s.ended(t, id, 137)
	pod.Remove()
}

// frozen: SIGTERM does not arrive where nothing runs, unless who stops thaws first.
func (s *stops) frozen(t *testing.T) {
	n := s.node.In(t)
	pod := n.RunPod(HostNetwork)
	for i, grace := range []int64{0, 1} {
		id := pod.prepared("c"+itoa(i), minding)
		n.freeze(id, true)
		if err := together(n.stopping(id, grace), n.stopping(id, grace)); err != nil {
			t.Error(err)
		}
		s.ended(t, id, 0, 137)
	}
	// With its pod too.
	id := pod.prepared("last", ignoring)
	n.freeze(id, true)
	n.stopPod(pod)
	s.ended(t, id, 137)
	pod.Remove()
}

// bomb: what forks without end is killed in one go.
func (s *stops) bomb(t *testing.T) {
	n := s.node.In(t)
	pod := n.RunPod(HostNetwork, func(c *runtime.PodSandboxConfig) { c.Linux.CgroupParent = n.Cgroup + "/bomb" })
	pod.Run("quiet", Forever) // makes the parent, whose limit is the kubelet's to set
	dir := "/sys/fs/cgroup"
	if isDirectory(dir + "/pids") {
		dir += "/pids"
	}
	if err := os.WriteFile(filepath.Join(dir, n.Cgroup, "bomb/pids.max"), []byte("100"), 0); err != nil {
		t.Fatal(err)
	}
	for i, grace := range []int64{0, 1} {
		name := "c" + itoa(i)
		id := pod.Run(name, "exec payload fork")
		n.Eventually("there is no room for more", func() bool { return strings.Contains(pod.Log(name), " ready\n") })
		if err := together(n.stopping(id, grace), n.stopping(id, grace)); err != nil {
			t.Error(err)
		}
		s.ended(t, id, 137)
	}
	pod.Remove()
	for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		dirs, _ := filepath.Glob(filepath.Join(pattern, n.Cgroup, "bomb"))
		for _, dir := range dirs {
			if err := os.Remove(dir); err != nil {
				t.Errorf("something is left of the bomb: %v", err)
			}
		}
	}
}

// kill9: the daemon is killed while it stops. The containers go on to end as they were told to, and the next daemon knows how, or
// ends them when the kubelet asks again.
func (s *stops) kill9(t *testing.T) {
	n := s.node.In(t)
	pod, whole := n.RunPod(HostNetwork), n.RunPod()
	slow := pod.prepared("slow", "trap 'echo told; usleep 300000; exit 9' TERM; echo ready; while :; do sleep 100000 & wait; done")
	ignores := pod.prepared("ignores", ignoring)
	goes := pod.prepared("goes", minding)
	frozen := pod.prepared("frozen", minding)
	n.freeze(frozen, true)
	inWhole := []string{whole.prepared("minds", minding), whole.prepared("ignores", ignoring)}
	var stopping sync.WaitGroup
	for _, id := range []string{slow, ignores, goes, frozen} {
		stopping.Go(func() { _ = n.stopping(id, long)() }) // its connection breaks
	}
	stopping.Go(func() { _ = n.stoppingPod(whole)() })
	n.Eventually("one has ended and one is told to", func() bool {
		return s.events.count(runtime.ContainerEventType_CONTAINER_STOPPED_EVENT, goes) > 0 && strings.Contains(pod.Log("slow"), " told\n")
	})
	n.Kill9()
	stopping.Wait()
	n.Start()
	n.Restarted()
	told := s.events
	s.events = n.follow()
	if status := n.WaitExited(slow); status.ExitCode != 9 {
		t.Errorf("what ended meanwhile has exit code %d, want 9", status.ExitCode)
	}
	for _, id := range []string{ignores, frozen} {
		if state := n.Status(id).State; state != runtime.ContainerState_CONTAINER_RUNNING {
			t.Errorf("the container is %v", state)
		}
	}
	if err := together(n.stopping(ignores, 0), n.stopping(ignores, 0), n.stopping(frozen, 0), n.stopping(slow, 0),
		n.stoppingPod(whole), n.stoppingPod(whole)); err != nil {
		t.Error(err)
	}
	s.ended(t, ignores, 137)
	s.ended(t, frozen, 0, 137)
	if times := s.events.count(runtime.ContainerEventType_CONTAINER_STOPPED_EVENT, goes); times != 0 {
		t.Errorf("the next daemon tells again of an end that was told")
	}
	for _, id := range inWhole {
		got := n.Status(id)
		if got.State != runtime.ContainerState_CONTAINER_EXITED || got.ExitCode != 0 && got.ExitCode != 137 {
			t.Errorf("a container of the pod that was stopped is %v, exit code %d", got.State, got.ExitCode)
		}
		stopped := runtime.ContainerEventType_CONTAINER_STOPPED_EVENT
		if times := told.count(stopped, id) + s.events.count(stopped, id); times > 1 { // none if it ended in between: the kubelet lists then
			t.Errorf("the end was told %d times", times)
		}
	}
	if left := n.Addresses(); len(left) > 0 {
		t.Errorf("addresses in use: %v", left)
	}
	pod.Remove()
	whole.Remove()
}
