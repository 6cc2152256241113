// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"time"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/image-spec/identity"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sardine-run/sardine/test/e2e"
)

// task is a container of containerd's API.
type task struct {
	*worker
	who   string
	id    string
	first *process
	execs []*process
}

// taskLife is such a container from beginning to end.
func (w *worker) taskLife() {
	number := w.count.Add(1)
	t := &task{worker: w, who: fmt.Sprintf("task-%d", number), id: fmt.Sprintf("task-%d", number)}
	hostPIDs := w.chance(30)
	t.first = t.newProcess("", !hostPIDs, w.with(terminals) && w.chance(30))
	t.make(hostPIDs)
	t.first.create(t.createTask)
	if w.chance(30) {
		w.pause(2 * time.Second)
	}
	t.first.start()
	for range w.rng.IntN(10) {
		t.step()
		w.pause(800 * time.Millisecond)
		if w.over.Load() {
			break
		}
	}
	t.end()
}

// make makes what a task needs: a snapshot and the container. Both calls can be repeated.
func (t *task) make(hostPIDs bool) {
	t.must(t.who, "Prepare the snapshot", func(ctx context.Context) error {
		image, err := t.client.GetImage(t.in(ctx), e2e.BusyboxRef)
		if err != nil {
			return err
		}
		layers, err := image.RootFS(t.in(ctx))
		if err != nil {
			return err
		}
		// Nothing refers to it until there is a container.
		root := snapshots.WithLabels(map[string]string{"containerd.io/gc.root": time.Now().UTC().Format(time.RFC3339)})
		_, err = t.snapshots().Prepare(t.in(ctx), t.id, identity.ChainID(layers).String(), root)
		return unless(err, errdefs.IsAlreadyExists)
	})
	t.must(t.who, "Make the container", func(ctx context.Context) error {
		c := containers.Container{
			ID: t.id, Runtime: containers.RuntimeInfo{Name: t.Daemon.Runtime}, Snapshotter: snapshotter, SnapshotKey: t.id,
		}
		spec, err := oci.GenerateSpec(t.in(ctx), t.client, &c, t.specOpts(hostPIDs)...)
		if err != nil {
			return err
		}
		if c.Spec, err = typeurl.MarshalAny(spec); err != nil {
			return err
		}
		_, err = t.client.ContainerService().Create(t.in(ctx), c)
		return unless(err, errdefs.IsAlreadyExists)
	})
}

func (t *task) specOpts(hostPIDs bool) []oci.SpecOpts {
	pages := specs.Mount{Type: "bind", Source: t.pages, Destination: t.pages, Options: []string{"rbind", "rw"}}
	opts := []oci.SpecOpts{
		oci.WithDefaultPathEnv, oci.WithProcessArgs(t.first.args()...), oci.WithMounts([]specs.Mount{pages}),
		func(_ context.Context, _ oci.Client, _ *containers.Container, s *specs.Spec) error {
			s.Linux.CgroupsPath = "/" + t.Namespace + "/" + t.id
			return nil
		},
	}
	if t.first.terminal {
		opts = append(opts, oci.WithTTY)
	}
	if hostPIDs {
		opts = append(opts, oci.WithHostNamespace(specs.PIDNamespace))
	}
	return opts
}

const snapshotter = "overlayfs"

func (w *worker) snapshots() snapshots.Snapshotter { return w.client.SnapshotService(snapshotter) }

func (w *worker) in(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, w.Namespace)
}

// unless returns err if it is not of a kind that does not matter.
func unless(err error, kind func(error) bool) error {
	if err != nil && (kind(err) || kind(errgrpc.ToNative(err))) {
		return nil
	}
	return err
}

func (t *task) createTask(ctx context.Context) error {
	mounts, err := t.snapshots().Mounts(ctx, t.id)
	if err != nil {
		return err
	}
	_, err = t.client.TaskService().Create(ctx, &tasksapi.CreateTaskRequest{
		ContainerID: t.id, Rootfs: mount.ToProto(mounts), Terminal: t.first.terminal, Stdout: t.first.sink.uri(0), Stderr: t.first.sink.uri(1),
	})
	return err
}

// step does one of the things that are done to tasks while they live.
func (t *task) step() {
	switch dice := t.rng.IntN(100); {
	case dice < 30:
		t.first.observe()
	case dice < 60:
		t.addExec()
	case dice < 85 && len(t.execs) > 0:
		e := t.execs[t.rng.IntN(len(t.execs))]
		switch {
		case e.removed:
		case t.chance(50):
			e.observe()
		default:
			e.finish(t.chance(70))
		}
	case dice < 90:
		t.first.signal(t.chance(50))
	default:
		t.metrics()
	}
}

func (t *task) metrics() {
	t.first.observe()
	err := t.insist(t.who, "Metrics", func(ctx context.Context) error {
		_, err := t.client.TaskService().Metrics(t.in(ctx), &tasksapi.MetricsRequest{Filters: []string{"id==" + t.id}})
		return err
	})
	if t.first.observe(); err != nil && t.first.exit == nil {
		t.fail(t.who, "Metrics: %v", err)
	}
}

// addExec runs another program in the container, and leaves it alone.
func (t *task) addExec() {
	if t.first.observe(); t.first.exit != nil {
		return
	}
	id := fmt.Sprintf("exec-%d", t.count.Add(1))
	e := t.newProcess(id, false, t.with(terminals) && t.chance(30))
	t.execs = append(t.execs, e)
	spec, err := typeurl.MarshalAnyToProto(&specs.Process{
		Args: e.args(), Cwd: "/", Env: []string{"PATH=/bin"}, Terminal: e.terminal,
	})
	if err != nil {
		t.fail(e.who, "%v", err)
	}
	e.create(func(ctx context.Context) error {
		_, err := t.client.TaskService().Exec(ctx, &tasksapi.ExecProcessRequest{
			ContainerID: t.id, ExecID: id, Spec: spec, Terminal: e.terminal, Stdout: e.sink.uri(0), Stderr: e.sink.uri(1),
		})
		return err
	})
	if !e.removed {
		e.start()
	}
}

// end removes everything. Nothing may be left of the programs, and what was told of them must be true.
func (t *task) end() {
	for _, e := range t.execs {
		if t.chance(50) && !e.removed {
			e.finish(t.chance(50))
		}
	}
	t.first.finish(t.chance(50))
	for _, p := range append(t.execs, t.first) {
		p.settle()
		t.await(p.who, "its process is gone", func() bool { return len(processesWith(p.page)) == 0 })
	}
	t.must(t.who, "Remove the container", func(ctx context.Context) error {
		return unless(t.client.ContainerService().Delete(t.in(ctx), t.id), errdefs.IsNotFound)
	})
	t.must(t.who, "Remove the snapshot", func(ctx context.Context) error {
		return unless(t.snapshots().Remove(t.in(ctx), t.id), errdefs.IsNotFound)
	})
}
