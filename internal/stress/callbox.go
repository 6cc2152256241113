// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"context"
	"errors"
	"syscall"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sardine-run/sardine/internal/session"
)

// callBox makes one call per step: what is measured is the daemon.
type callBox struct {
	session     *session.Session
	id, runtime string
	process     *specs.Process
	rootfs      []*types.Mount
	task        uint32 // process id
}

// create makes the record before the snapshot: the record's reference keeps the
// snapshot from garbage collection, for which other clients take a lease.
func (b *callBox) create(ctx context.Context, args []string) error {
	record, err := b.record(ctx, args)
	if err != nil {
		return named("make spec", err)
	}
	if _, err := b.session.Client.ContainerService().Create(ctx, record); err != nil {
		return named("create container", err)
	}
	snapshotter := b.session.Client.SnapshotService(b.session.Snapshotter())
	mounts, err := snapshotter.Prepare(ctx, b.id, b.session.Parent())
	if err != nil {
		return named("prepare snapshot", err)
	}
	for _, m := range mounts {
		b.rootfs = append(b.rootfs, &types.Mount{Type: m.Type, Source: m.Source, Target: m.Target, Options: m.Options})
	}
	return nil
}

func (b *callBox) record(ctx context.Context, args []string) (containers.Container, error) {
	record := containers.Container{
		ID:          b.id,
		Image:       b.session.Image.Name(),
		Runtime:     containers.RuntimeInfo{Name: b.runtime},
		Snapshotter: b.session.Snapshotter(),
		SnapshotKey: b.id,
	}
	spec, err := oci.GenerateSpec(ctx, nil, &record, session.SpecOpts(b.id, args)...)
	if err != nil {
		return record, err
	}
	b.process = spec.Process
	record.Spec, err = typeurl.MarshalAny(spec)
	return record, err
}

func (b *callBox) createTask(ctx context.Context) error {
	created, err := b.session.Client.TaskService().Create(ctx, &tasks.CreateTaskRequest{ContainerID: b.id, Rootfs: b.rootfs})
	if err != nil {
		return failed("create task", err)
	}
	b.task = created.Pid
	return nil
}

func (b *callBox) start(ctx context.Context) error {
	_, err := b.session.Client.TaskService().Start(ctx, &tasks.StartRequest{ContainerID: b.id})
	return failed("start", err)
}

func (b *callBox) pid() int { return int(b.task) }

func (b *callBox) kill(ctx context.Context) error {
	_, err := b.session.Client.TaskService().Kill(ctx, &tasks.KillRequest{ContainerID: b.id, Signal: uint32(syscall.SIGKILL)})
	return failed("kill", err)
}

func (b *callBox) wait(ctx context.Context) (uint32, error) {
	exited, err := b.session.Client.TaskService().Wait(ctx, &tasks.WaitRequest{ContainerID: b.id})
	if err != nil {
		return 0, failed("wait", err)
	}
	return exited.ExitStatus, nil
}

func (b *callBox) delete(ctx context.Context) error {
	if _, err := b.session.Client.TaskService().Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: b.id}); err != nil {
		return failed("delete task", err)
	}
	return b.deleteRecords(ctx)
}

func (b *callBox) deleteRecords(ctx context.Context) error {
	client := b.session.Client
	err := client.SnapshotService(b.session.Snapshotter()).Remove(ctx, b.id)
	if err != nil && !errdefs.IsNotFound(err) {
		return named("remove snapshot", err)
	}
	if err := client.ContainerService().Delete(ctx, b.id); err != nil && !errdefs.IsNotFound(err) {
		return named("delete container", err)
	}
	return nil
}

func (b *callBox) remove(ctx context.Context) error {
	container, err := b.session.Client.LoadContainer(ctx, b.id)
	if err == nil {
		// Without the task first, the snapshot may be busy.
		err = session.RemoveContainer(ctx, container)
	} else if errdefs.IsNotFound(err) {
		err = nil
	}
	return errors.Join(err, b.deleteRecords(ctx))
}

func (b *callBox) exec(ctx context.Context, id string, args []string) error {
	service := b.session.Client.TaskService()
	process := *b.process
	process.Args = args
	spec, err := typeurl.MarshalAnyToProto(&process)
	if err != nil {
		return named("make process", err)
	}
	if _, err := service.Exec(ctx, &tasks.ExecProcessRequest{ContainerID: b.id, ExecID: id, Spec: spec}); err != nil {
		return failed("create process", err)
	}
	if _, err := service.Start(ctx, &tasks.StartRequest{ContainerID: b.id, ExecID: id}); err != nil {
		return failed("start process", err)
	}
	exited, err := service.Wait(ctx, &tasks.WaitRequest{ContainerID: b.id, ExecID: id})
	if err != nil {
		return failed("wait for process", err)
	}
	if err := expect(exited.ExitStatus, nil, 0); err != nil {
		return err
	}
	_, err = service.DeleteProcess(ctx, &tasks.DeleteProcessRequest{ContainerID: b.id, ExecID: id})
	return failed("delete process", err)
}

// failed is named for errors in gRPC's form.
func failed(step string, err error) error { return named(step, errgrpc.ToNative(err)) }
