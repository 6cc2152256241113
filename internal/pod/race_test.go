// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/stdio"
	"github.com/sardine-run/sardine/internal/testnode"
)

// rounds is how often each race is run, in several pods at the same time.
const rounds, runners = 200, 4

// race is a container that is stopped while something else happens to it.
type race struct {
	script string
	grace  time.Duration
	codes  []int32 // how it may end
	meet   func(t *testing.T, c *Container, task *container.Container) error
}

var races = map[string]race{
	"exit": {"sleep 0.00$((RANDOM % 10)); exit 7", time.Minute, []int32{7}, nil},
	"stop": {deaf, 5 * time.Millisecond, []int32{137}, func(t *testing.T, c *Container, _ *container.Container) error {
		return c.Stop(t.Context(), time.Duration(rand.IntN(10))*time.Millisecond)
	}},
	"exec": {deaf, time.Millisecond, []int32{137}, func(t *testing.T, _ *Container, task *container.Container) error {
		e, err := task.Exec("e", &specs.Process{Args: []string{"/bin/sleep", "100"}, Cwd: "/"}, stdio.Config{})
		if err == nil {
			if err = e.Start(t.Context()); err == nil {
				_, err = e.Wait(t.Context())
			}
		}
		_ = err // the container may have ended at any step of it
		return nil
	}},
	"remove": {deaf, time.Millisecond, []int32{137}, func(t *testing.T, c *Container, _ *container.Container) error { return c.Remove(t.Context()) }},
	"stop of the pod": {deaf, time.Millisecond, []int32{137}, func(t *testing.T, c *Container, _ *container.Container) error {
		return c.Sandbox.Stop(t.Context())
	}},
	"fork bomb": {bomb + deaf, time.Millisecond, []int32{137}, nil},
	"pause": {deaf, time.Millisecond, []int32{137}, func(t *testing.T, _ *Container, task *container.Container) error {
		if err := task.Pause(t.Context()); err != nil && !errdefs.IsFailedPrecondition(err) && !errdefs.IsNotFound(err) {
			return err
		}
		return nil
	}},
}

// bomb leaves processes each of which forks and exits, for ever.
const bomb = "c() { ( c ) & exit 0; }; for i in 1 2 3 4; do ( c ) & done; "

// TestStopRaces: whatever meets a stop, it ends right and once: one event, one exit code, and nothing is left.
func TestStopRaces(t *testing.T) {
	for _, shared := range []bool{false, true} {
		for name, r := range races {
			t.Run(fmt.Sprintf("%s/shared pids=%v", name, shared), func(t *testing.T) { r.run(newNode(t), shared) })
		}
	}
}

func (r race) run(n *node, shared bool) {
	events, stop := n.Subscribe()
	var ended sync.Map
	var counting, running sync.WaitGroup
	counting.Go(func() {
		for e := range events {
			if e.Type == runtime.ContainerEventType_CONTAINER_STOPPED_EVENT {
				times, _ := ended.LoadOrStore(e.ContainerID, new(atomic.Int32))
				times.(*atomic.Int32).Add(1)
			}
		}
	})
	for range runners {
		running.Go(func() {
			for range r.each() {
				r.round(n, shared)
			}
		})
	}
	running.Wait()
	stop()
	counting.Wait()
	containers := 0
	ended.Range(func(id, times any) bool {
		if containers++; times.(*atomic.Int32).Load() != 1 {
			n.t.Errorf("%v has ended %d times", id, times.(*atomic.Int32).Load())
		}
		return true
	})
	if containers < r.each()*runners {
		n.t.Errorf("%d ends of containers and pods were told", containers)
	}
}

// each is how often a runner runs the race.
func (r race) each() int {
	n := rounds / runners / 2 // with a pid namespace that is shared and without
	if strings.Contains(r.script, bomb) {
		n /= 5
	}
	return n
}

func (r race) round(n *node, shared bool) {
	t := n.t.(*testing.T)
	cfg := podConfig(n)
	if shared {
		cfg = fullPod(cfg.Metadata.Name, n.cgroup, n.logs)
		cfg.Linux.SecurityContext.NamespaceOptions.Network = runtime.NamespaceMode_NODE
	}
	s, err := n.RunSandbox(t.Context(), cfg, "")
	if err != nil {
		t.Error(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), testnode.Patience)
	defer cancel()
	defer func() {
		if err := s.Remove(ctx); err != nil {
			t.Error(err)
		}
	}()
	config := containerConfig("c", r.script)
	config.LogPath = cfg.Metadata.Name + ".log"
	config.Linux.SecurityContext.NamespaceOptions.Pid = cfg.Linux.SecurityContext.NamespaceOptions.Pid
	c, err := s.CreateContainer(ctx, config)
	if err == nil {
		err = c.Start(ctx)
	}
	if err != nil {
		t.Error(err)
		return
	}
	task, err := c.Task()
	if err != nil { // it has ended by itself
		task = nil
	}
	var meet sync.WaitGroup
	if r.meet != nil && task != nil {
		meet.Go(func() {
			time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
			if err := r.meet(t, c, task); err != nil {
				t.Error(err)
			}
		})
	}
	if err := c.Stop(ctx, r.grace); err != nil {
		t.Error(err)
	}
	meet.Wait()
	codes := r.codes
	if shared { // it is not pid 1, and may be told to end before it has said that it does not mind
		codes = append(slices.Clone(codes), 143)
	}
	if got := c.Status(); got.State != Exited || !slices.Contains(codes, got.ExitCode) || got.Finished.IsZero() {
		t.Errorf("status %+v", got)
	}
	if task != nil {
		if pids, err := n.Manager.Config.Containers.Get(Namespace, c.ID); err == nil {
			t.Errorf("its task is left: %v", pids.Status())
		}
	}
}

// TestStopKilledDaemon: a daemon is killed while it stops containers. The next one knows how each has ended, or that it runs, and
// stops it.
func TestStopKilledDaemon(t *testing.T) {
	const daemons = 20
	known := kernelRemembers(t)
	n := newNode(t)
	for round := range daemons {
		if err := n.close(); err != nil {
			t.Fatal(err)
		}
		n.playUntilKilled("stopping", "")
		n.daemon = &daemon{dir: n.dir}
		n.open()
		if all := n.AllContainers(); len(all) != stoppedAtOnce {
			t.Fatalf("%d containers are known", len(all))
		}
		var stops sync.WaitGroup
		for _, c := range n.AllContainers() {
			stops.Go(func() {
				if err := c.Stop(t.Context(), testnode.Patience); err != nil {
					t.Error(err)
				}
				got := c.Status()
				if ok := got.ExitCode == 9 || !known && got.Reason == reasonUnknown; got.State != Exited || !ok || got.Finished.IsZero() {
					t.Errorf("round %d: status %+v", round, got)
				}
			})
		}
		stops.Wait()
		if err := n.Sandboxes()[0].Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
		n.wantNothing()
	}
}
