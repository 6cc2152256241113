// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/cgroup"
	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/testnode"
)

// kernelRemembers reports whether the kernel tells by a pidfd how a process ended that was reaped: Linux 6.15. The tests' daemon has no
// eBPF program.
func kernelRemembers(t testing.TB) bool {
	t.Helper()
	p, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	pidfd, err := kernel.PidfdOpen(p.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	_, ended, err := kernel.PidfdExitStatus(pidfd)
	return err == nil && ended
}

// writes counts the records that are written into directories of the state directory.
type writes struct {
	t    testing.TB
	fd   int
	dirs map[int32]string
}

func (n *node) watchRecords(dirs ...string) *writes {
	n.t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { unix.Close(fd) })
	w := &writes{t: n.t, fd: fd, dirs: map[int32]string{}}
	for _, dir := range dirs {
		watch, err := unix.InotifyAddWatch(fd, filepath.Join(n.dir, "state", dir), unix.IN_MOVED_TO|unix.IN_CLOSE_WRITE)
		if err != nil {
			n.t.Fatal(dir, err)
		}
		w.dirs[int32(watch)] = dir
	}
	return w
}

// want checks how many records were put in the place of earlier ones, by directory, since the last time.
func (w *writes) want(what string, want map[string]int) {
	w.t.Helper()
	got := map[string]int{}
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(w.fd, buf)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil {
			w.t.Fatal(err)
		}
		for event := buf[:n]; len(event) > 0; {
			size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(event[12:]))
			name := string(bytes.TrimRight(event[unix.SizeofInotifyEvent:size], "\x00"))
			mask := binary.NativeEndian.Uint32(event[4:])
			if name == recordName && mask&unix.IN_MOVED_TO != 0 {
				got[w.dirs[int32(binary.NativeEndian.Uint32(event))]]++
			}
			event = event[size:]
		}
	}
	for dir := range got {
		if want[dir] == 0 {
			w.t.Errorf("%s: %d records are written in %s, want none", what, got[dir], dir)
		}
	}
	for dir := range want {
		if got[dir] != want[dir] {
			w.t.Errorf("%s: %d records are written in %s, want %d", what, got[dir], dir, want[dir])
		}
	}
}

// TestStopWrites: the state is written once per stop.
func TestStopWrites(t *testing.T) {
	n := newNode(t)
	task := map[bool]int{true: 0, false: 1}[kernelRemembers(t)] // else the task records it too, for a daemon that is killed in between
	s := n.run(fullPod("one", n.cgroup, n.logs))
	a, b, c := n.launch(s, "a", forever), n.launch(s, "b", forever), n.launch(s, "c", forever)
	dirs := map[*Container]string{}
	tasks := map[*Container]string{}
	for _, x := range []*Container{a, b, c} {
		dirs[x], tasks[x] = filepath.Join(containersDir, x.ID), filepath.Join("containers", Namespace, x.ID)
	}
	pod, holder := filepath.Join(sandboxesDir, s.ID), filepath.Join("containers", holderNamespace, s.ID)
	w := n.watchRecords(dirs[a], tasks[a], dirs[b], tasks[b], dirs[c], tasks[c], pod, holder)

	if err := a.Stop(t.Context(), testnode.Patience); err != nil {
		t.Fatal(err)
	}
	w.want("StopContainer", map[string]int{dirs[a]: 1, tasks[a]: task})
	if err := a.Stop(t.Context(), testnode.Patience); err != nil {
		t.Fatal(err)
	}
	w.want("StopContainer again", nil)
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.want("StopPodSandbox", map[string]int{pod: 1, dirs[b]: 1, tasks[b]: task, dirs[c]: 1, tasks[c]: task})
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.want("StopPodSandbox again, RemoveContainer", nil)
	if err := s.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.want("RemovePodSandbox", nil)
}

// TestRemoveRepeatsNothing: what was done to stop a pod is not done again to remove it, by a later daemon neither.
func TestRemoveRepeatsNothing(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		n := newNode(t)
		calls := filepath.Join(n.dir, "calls")
		stock := filepath.Join(n.dir, "cni-bin", "leaser")
		if err := os.Rename(stock, stock+"-stock"); err != nil {
			t.Fatal(err)
		}
		writeFile(t, stock, "#!/bin/sh\necho $CNI_COMMAND >>"+calls+"\nexec "+stock+"-stock\n", 0o755)
		var mu sync.Mutex
		steps := map[string]int{}
		count := func() {
			n.Phase = func(name string, _ time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				steps[name]++
			}
		}
		count()
		s := n.run(fullPod("one", n.cgroup, n.logs))
		n.launch(s, "c", forever)
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if restarted {
			n.restart()
			count()
			s = n.again(s)
		}
		for _, f := range []func() error{
			func() error { return s.Stop(t.Context()) }, func() error { return s.Remove(t.Context()) }, func() error { return s.Remove(t.Context()) },
		} {
			if err := f(); err != nil {
				t.Fatal(err)
			}
		}
		mu.Lock()
		for name, times := range steps {
			if strings.HasPrefix(name, "pod.stop.") && times != 1 {
				t.Errorf("restarted=%v: step %s was taken %d times", restarted, name, times)
			}
		}
		mu.Unlock()
		text, err := os.ReadFile(calls)
		if dels := strings.Count(string(text), "DEL"); err != nil || dels != 1 {
			t.Errorf("restarted=%v: DEL was called %d times, %v", restarted, dels, err)
		}
	}
}

// TestStopAtOnce: a pod's containers are stopped at the same time, within one grace period.
func TestStopAtOnce(t *testing.T) {
	const grace, count = 2 * time.Second, 8
	n := newNode(t)
	s := n.run(podConfig(n))
	var stops sync.WaitGroup
	var all []*Container
	for i := range count {
		all = append(all, n.launch(s, string(rune('a'+i)), deaf))
	}
	began := time.Now()
	for _, c := range all {
		stops.Go(func() {
			if err := c.Stop(t.Context(), grace); err != nil {
				t.Error(err)
			}
		})
	}
	stops.Wait()
	if took := time.Since(began); took < grace || took > count*grace*3/4 { // one after the other would take count*grace
		t.Errorf("it took %v", took)
	}
	for _, c := range all {
		if got := c.Status(); got.State != Exited || got.ExitCode != 137 {
			t.Errorf("status %+v", got)
		}
	}
}

// TestStopStuck: a process that cannot die, as one in uninterruptible sleep, is not reported to have ended; every stop tells so, and
// when it dies it has ended, once.
func TestStopStuck(t *testing.T) {
	n := newNode(t)
	freezer := ""
	for _, m := range n.Manager.Config.Containers.Cgroups.Mounts() {
		if slices.Contains(m.Controllers, "freezer") {
			freezer = filepath.Join(m.Mountpoint, n.cgroup, "freezer.state")
		}
	}
	if freezer == "" {
		if mode := n.Manager.Config.Containers.Cgroups.Mode(); mode != cgroup.Unified {
			t.Fatalf("no freezer among the hierarchies of a host in %s mode", mode)
		}
		t.Skip("only the freezer of cgroup v1 keeps processes from dying")
	}
	s := n.run(podConfig(n))
	events, stop := n.Subscribe()
	defer stop()
	c := n.launch(s, "c", deaf)
	writeFile(t, freezer, "FROZEN", 0)
	defer func() { _ = os.WriteFile(freezer, []byte("THAWED"), 0) }()
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := c.Stop(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stop: %v", err)
		}
		if err := s.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stop of the pod: %v", err)
		}
		cancel()
		if got := c.Status(); got.State != Running {
			t.Errorf("status %+v", got)
		}
	}
	writeFile(t, freezer, "THAWED", 0)
	if got := n.exited(c); got.ExitCode != 137 {
		t.Errorf("status %+v", got)
	}
	if err := errors.Join(c.Stop(t.Context(), 0), s.Stop(t.Context())); err != nil {
		t.Error(err)
	}
	ends := map[string]int{}
	n.eventually("both ends are told", func() bool { // a moment after they can be seen
		for len(events) > 0 {
			if e := <-events; e.Type == runtime.ContainerEventType_CONTAINER_STOPPED_EVENT {
				ends[e.ContainerID]++
			}
		}
		return ends[c.ID] > 0 && ends[s.ID] > 0
	})
	if ends[c.ID] != 1 || ends[s.ID] != 1 {
		t.Errorf("ends: %v", ends)
	}
}

// deaf does not mind being told to end.
const deaf = "trap '' TERM; while :; do sleep 0.1; done"

// TestStopSleeps: a daemon with a container, and one that waits for the end of a grace period, neither asks nor wakes up.
func TestStopSleeps(t *testing.T) {
	n := newNode(t)
	s := n.run(podConfig(n))
	const window = 300 * time.Millisecond
	none := testnode.WakeUps(t, window, 3, 0)
	c := n.launch(s, "c", "trap '' TERM; sleep 100 & wait; sleep 100")
	if idle := testnode.WakeUps(t, window, 20, none+2); idle > none+2 {
		t.Errorf("%d wake-ups with a container, %d without", idle, none)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- c.Stop(t.Context(), time.Hour) }()
	n.eventually("it was sent its signal", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.signalled })
	if waiting := testnode.WakeUps(t, window, 20, none+2); waiting > none+2 {
		t.Errorf("%d wake-ups in the grace period, %d without a container", waiting, none)
	}
	if err := c.Stop(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// BenchmarkStopContainer is the stop of a program that ends on its stop signal.
func BenchmarkStopContainer(b *testing.B) {
	n := newNode(b)
	s := n.run(podConfig(n))
	for b.Loop() {
		b.StopTimer()
		c := benchContainer(b, n, s)
		b.StartTimer()
		if err := c.Stop(b.Context(), testnode.Patience); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := c.Remove(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkStopPod is the stop of a pod in the host's network with a container that runs.
func BenchmarkStopPod(b *testing.B) {
	n := newNode(b)
	for b.Loop() {
		b.StopTimer()
		s := n.run(podConfig(n))
		benchContainer(b, n, s)
		b.StartTimer()
		if err := s.Stop(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := s.Remove(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// benchContainer runs a program whose stop signal is one that pid 1 cannot but end of.
func benchContainer(b *testing.B, n *node, s *Sandbox) *Container {
	b.Helper()
	n.images.config.Config.StopSignal = "SIGKILL"
	cfg := containerConfig("c", "")
	cfg.Command = []string{"/bin/sleep", "1000"}
	c, err := s.CreateContainer(b.Context(), cfg)
	if err == nil {
		err = c.Start(b.Context())
	}
	if err != nil {
		b.Fatal(err)
	}
	return c
}
