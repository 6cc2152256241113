// SPDX-License-Identifier: Apache-2.0

package criplugin

import (
	"context"

	api "github.com/containerd/containerd/api/services/tasks/v1"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/pkg/protobuf/types"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/pod"
)

// tasksView is containerd's tasks service, which looks containers up in its own store, with those of pods in it: to be
// looked at, not to be changed.
type tasksView struct {
	api.TasksClient
	containers *containersView
}

// ours returns the container id of a pod, nil when there is none.
func (v *tasksView) ours(ctx context.Context, id string) *pod.Container {
	return v.containers.ours(ctx, id)
}

// readOnly refuses to change a container of a pod.
func (v *tasksView) readOnly(ctx context.Context, id string) error {
	if v.ours(ctx, id) == nil {
		return nil
	}
	return errReadOnly(id)
}

func (v *tasksView) Get(ctx context.Context, req *api.GetRequest, opts ...grpc.CallOption) (*api.GetResponse, error) {
	c := v.ours(ctx, req.ContainerID)
	if c == nil || req.ExecID != "" {
		return v.TasksClient.Get(ctx, req, opts...)
	}
	task, err := c.Task()
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	now := task.Status()
	return &api.GetResponse{Process: &tasktypes.Process{
		ID: c.ID, Pid: uint32(now.Pid), Status: taskStates[now.State], Stdin: now.Stdio.Stdin, Stdout: now.Stdio.Stdout, Stderr: now.Stdio.Stderr,
		Terminal: now.Stdio.Terminal, ExitStatus: now.Exit.Status, ExitedAt: timestamppb.New(now.Exit.At),
	}}, nil
}

var taskStates = map[container.State]tasktypes.Status{
	container.Created: tasktypes.Status_CREATED, container.Running: tasktypes.Status_RUNNING,
	container.Paused: tasktypes.Status_PAUSED, container.Stopped: tasktypes.Status_STOPPED,
}

func (v *tasksView) ListPids(ctx context.Context, req *api.ListPidsRequest, opts ...grpc.CallOption) (*api.ListPidsResponse, error) {
	c := v.ours(ctx, req.ContainerID)
	if c == nil {
		return v.TasksClient.ListPids(ctx, req, opts...)
	}
	task, err := c.Task()
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	processes, err := task.Pids()
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	response := &api.ListPidsResponse{}
	for _, p := range processes {
		response.Processes = append(response.Processes, &tasktypes.ProcessInfo{Pid: uint32(p.Pid)})
	}
	return response, nil
}

func (v *tasksView) Create(ctx context.Context, req *api.CreateTaskRequest, opts ...grpc.CallOption) (*api.CreateTaskResponse, error) {
	if err := v.readOnly(ctx, req.ContainerID); err != nil {
		return nil, err
	}
	return v.TasksClient.Create(ctx, req, opts...)
}

func (v *tasksView) Start(ctx context.Context, req *api.StartRequest, opts ...grpc.CallOption) (*api.StartResponse, error) {
	if err := v.readOnly(ctx, req.ContainerID); err != nil {
		return nil, err
	}
	return v.TasksClient.Start(ctx, req, opts...)
}

func (v *tasksView) Delete(ctx context.Context, req *api.DeleteTaskRequest, opts ...grpc.CallOption) (*api.DeleteResponse, error) {
	if err := v.readOnly(ctx, req.ContainerID); err != nil {
		return nil, err
	}
	return v.TasksClient.Delete(ctx, req, opts...)
}

func (v *tasksView) Kill(ctx context.Context, req *api.KillRequest, opts ...grpc.CallOption) (*types.Empty, error) {
	if err := v.readOnly(ctx, req.ContainerID); err != nil {
		return nil, err
	}
	return v.TasksClient.Kill(ctx, req, opts...)
}

func (v *tasksView) Exec(ctx context.Context, req *api.ExecProcessRequest, opts ...grpc.CallOption) (*types.Empty, error) {
	if err := v.readOnly(ctx, req.ContainerID); err != nil {
		return nil, err
	}
	return v.TasksClient.Exec(ctx, req, opts...)
}

func (v *tasksView) Pause(ctx context.Context, req *api.PauseTaskRequest, opts ...grpc.CallOption) (*types.Empty, error) {
	if err := v.readOnly(ctx, req.ContainerID); err != nil {
		return nil, err
	}
	return v.TasksClient.Pause(ctx, req, opts...)
}

func (v *tasksView) Resume(ctx context.Context, req *api.ResumeTaskRequest, opts ...grpc.CallOption) (*types.Empty, error) {
	if err := v.readOnly(ctx, req.ContainerID); err != nil {
		return nil, err
	}
	return v.TasksClient.Resume(ctx, req, opts...)
}

func (v *tasksView) Update(ctx context.Context, req *api.UpdateTaskRequest, opts ...grpc.CallOption) (*types.Empty, error) {
	if err := v.readOnly(ctx, req.ContainerID); err != nil {
		return nil, err
	}
	return v.TasksClient.Update(ctx, req, opts...)
}
