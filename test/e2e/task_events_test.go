// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	apievents "github.com/containerd/containerd/api/events" // the types, to be decoded
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sardine-run/sardine/internal/testnode"
)

// taskEvents collects the events of tasks in a daemon's namespace.
type taskEvents struct {
	mu   sync.Mutex
	list []string // topic and JSON, as in ctr events
}

// collectEvents returns when the daemon sends events: it has not read the request yet when the client has sent it.
func collectEvents(t *testing.T, d *Daemon) *taskEvents {
	t.Helper()
	ctx, cancel := context.WithCancel(d.Context())
	const trial = "/trial"
	envelopes, errs := d.Client().Subscribe(ctx, fmt.Sprintf(`namespace==%q,topic~="^/tasks/"`, d.Namespace), fmt.Sprintf(`namespace==%q,topic==%q`, d.Namespace, trial))
	var e taskEvents
	var arrived atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case envelope := <-envelopes:
				if envelope.Topic == trial {
					arrived.Store(true)
				} else {
					e.add(t, envelope.Topic, envelope.Event)
				}
			case <-errs:
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	testnode.Eventually(t, "events arrive", func() bool {
		must(t, d.Client().EventService().Publish(ctx, trial, &apievents.NamespaceDelete{Name: d.Namespace}))
		return arrived.Load()
	})
	return &e
}

func (e *taskEvents) add(t *testing.T, topic string, event typeurl.Any) {
	value, err := typeurl.UnmarshalAny(event)
	if err != nil {
		t.Error(err)
		return
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Error(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, topic+" "+string(text))
}

func (e *taskEvents) all() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.list)
}

func (e *taskEvents) await(t *testing.T, what string) {
	t.Helper()
	testnode.Eventually(t, "there is an event "+what, func() bool {
		return slices.ContainsFunc(e.all(), func(s string) bool { return strings.Contains(s, what) })
	})
}

// TestEventsAsContainerd does the same with our runtime and with containerd's shim: the
// events must be the same, in order and in every field but numbers of processes, times
// and the paths of the two daemons.
func TestEventsAsContainerd(t *testing.T) {
	streams := map[string][]string{}
	EachRuntime(t, func(t *testing.T, runtime string) {
		d := StartDaemon(t, WithRuntime(runtime))
		ref := d.ImportBusybox()
		events := collectEvents(t, d)
		lifeOfEvents(t, d, ref, events)
		streams[runtime] = normalized(d, events.all())
	})
	ours, theirs := streams[Sardine], streams[Runc]
	if len(theirs) < 20 {
		t.Fatalf("the shim has published %d events only", len(theirs))
	}
	ours = withoutLost(ours, theirs)
	if !slices.Equal(ours, theirs) {
		t.Errorf("our events:\n%s\n\ncontainerd's:\n%s", strings.Join(ours, "\n"), strings.Join(theirs, "\n"))
	}
}

// withoutLost leaves out of our events the deletions that the shim has lost: it ends
// with its last task, at times before it has sent that.
func withoutLost(ours, theirs []string) []string {
	return slices.DeleteFunc(slices.Clone(ours), func(e string) bool {
		return strings.HasPrefix(e, "/tasks/delete ") && !slices.Contains(theirs, e)
	})
}

// deleteAndAwait deletes a task, whose event the shim may lose.
func deleteAndAwait(t *testing.T, d *Daemon, events *taskEvents, task containerd.Task) {
	t.Helper()
	deleteTask(t, d, task)
	if d.Runtime == Sardine {
		events.await(t, fmt.Sprintf(`/tasks/delete {"container_id":%q`, task.ID()))
	}
}

// lifeOfEvents does everything that makes events, each step when the one before is told.
func lifeOfEvents(t *testing.T, d *Daemon, ref string, events *taskEvents) {
	task := newTask(t, d, newContainer(t, d, ref, "one", oci.WithProcessArgs("sleep", "600")), cio.NullIO)
	events.await(t, "/tasks/create")
	startProcess(t, d, task)
	events.await(t, "/tasks/start")
	exec, _ := addExec(t, d, task, "short", shell("exit 3"))
	events.await(t, "/tasks/exec-added")
	startProcess(t, d, exec)
	if code := waitProcess(t, d, exec); code != 3 {
		t.Errorf("exec ended with %d", code)
	}
	events.await(t, `"id":"short"`)
	if _, err := exec.Delete(d.Context()); err != nil {
		t.Error(err)
	}
	must(t, task.Pause(d.Context()))
	events.await(t, "/tasks/paused")
	must(t, task.Resume(d.Context()))
	events.await(t, "/tasks/resumed")
	long, _ := addExec(t, d, task, "long", shell("exec sleep 600"))
	startProcess(t, d, long)
	events.await(t, `"exec_id":"long","pid"`)
	must(t, task.Kill(d.Context(), syscall.SIGKILL))
	if code := waitProcess(t, d, task); code != 137 {
		t.Errorf("the task ended with %d", code)
	}
	events.await(t, `"id":"one"`)
	deleteAndAwait(t, d, events, task)

	second := newTask(t, d, newContainer(t, d, ref, "two", oci.WithProcessArgs("sh", "-c", "exit 9")), cio.NullIO)
	startProcess(t, d, second)
	waitProcess(t, d, second)
	events.await(t, `"container_id":"two","id":"two"`)
	deleteAndAwait(t, d, events, second)

	// A process that cannot be executed, in a container that stays.
	third := runTask(t, d, ref, "three", oci.WithProcessArgs("sleep", "600"))
	failing, _ := addExec(t, d, third, "failing", &specs.Process{Args: []string{"/nowhere"}, Cwd: "/"})
	if err := failing.Start(d.Context()); err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("start of a program that does not exist: %v", err)
	}
	if _, err := failing.Delete(d.Context()); err != nil {
		t.Error(err)
	}
	must(t, third.Kill(d.Context(), syscall.SIGKILL, containerd.WithKillAll))
	waitProcess(t, d, third)
	events.await(t, `"container_id":"three","id":"three"`)
	deleteAndAwait(t, d, events, third)

	// A container that ends before it is started.
	fourth := newTask(t, d, newContainer(t, d, ref, "four", oci.WithProcessArgs("sleep", "600")), cio.NullIO)
	must(t, fourth.Kill(d.Context(), syscall.SIGKILL))
	waitProcess(t, d, fourth)
	events.await(t, `"container_id":"four","id":"four"`)
	deleteAndAwait(t, d, events, fourth)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func deleteTask(t *testing.T, d *Daemon, task containerd.Task) {
	t.Helper()
	if _, err := task.Delete(d.Context()); err != nil {
		t.Fatal(err)
	}
}

// normalized replaces what differs from run to run: process numbers by the order of
// their appearance, so that it shows whether two events mean the same process.
func normalized(d *Daemon, events []string) []string {
	pids := map[string]string{}
	number := regexp.MustCompile(`"pid":(\d+)`)
	moment := regexp.MustCompile(`"(seconds|nanos)":\d+`)
	layer := regexp.MustCompile(`(snapshots|fifo)/[^:/"]+`)
	var out []string
	for _, e := range events {
		e = number.ReplaceAllStringFunc(e, func(s string) string {
			if pids[s] == "" {
				pids[s] = fmt.Sprintf(`"pid":"P%d"`, len(pids)+1)
			}
			return pids[s]
		})
		e = moment.ReplaceAllString(e, `"$1":"T"`)
		e = layer.ReplaceAllString(e, "$1/N")
		e = strings.ReplaceAll(e, d.Namespace, "NS")
		out = append(out, strings.ReplaceAll(e, d.Dir, "DIR"))
	}
	return out
}

// TestOOMEvent: the event comes before the exit that it explains.
func TestOOMEvent(t *testing.T) {
	d := StartDaemon(t)
	ref := d.ImportBusybox()
	events := collectEvents(t, d)
	const limit = 16 << 20
	task := runTask(t, d, ref, "one", oci.WithProcessArgs("dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1"),
		oci.WithMemoryLimit(limit), oci.WithMemorySwap(limit))
	if code := waitProcess(t, d, task); code != 137 {
		t.Skipf("the kernel did not kill the process for lack of memory: exit status %d", code)
	}
	events.await(t, "/tasks/exit")
	list := events.all()
	oom := slices.IndexFunc(list, func(s string) bool { return strings.HasPrefix(s, "/tasks/oom") })
	exit := slices.IndexFunc(list, func(s string) bool { return strings.HasPrefix(s, "/tasks/exit") })
	if oom < 0 || oom > exit {
		t.Errorf("events:\n%s\nwant /tasks/oom before /tasks/exit", strings.Join(list, "\n"))
	}
	deleteTask(t, d, task)
}
