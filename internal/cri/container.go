// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/pod"
	"github.com/sardine-run/sardine/internal/podspec"
)

// CreateContainer makes a container of a pod.
func (s *Service) CreateContainer(ctx context.Context, req *runtime.CreateContainerRequest) (*runtime.CreateContainerResponse, error) {
	cfg := req.GetConfig()
	switch {
	case cfg == nil:
		return nil, fail(invalid("config is missing"))
	case cfg.Metadata == nil || cfg.Metadata.Name == "":
		return nil, fail(invalid("config.metadata: the name of the container is missing"))
	case cfg.GetImage().GetImage() == "":
		return nil, fail(invalid("config.image is missing"))
	}
	sandbox, err := s.Pods.Sandbox(req.PodSandboxId)
	if err != nil {
		return nil, fail(err)
	}
	c, err := sandbox.CreateContainer(ctx, cfg)
	if err != nil {
		return nil, fail(err)
	}
	return &runtime.CreateContainerResponse{ContainerId: c.ID}, nil
}

// StartContainer runs a container's program.
func (s *Service) StartContainer(ctx context.Context, req *runtime.StartContainerRequest) (*runtime.StartContainerResponse, error) {
	c, err := s.Pods.Container(req.ContainerId)
	if err == nil {
		err = c.Start(ctx)
	}
	return result(&runtime.StartContainerResponse{}, err)
}

// StopContainer ends a container's program. A container that does not exist is stopped.
func (s *Service) StopContainer(ctx context.Context, req *runtime.StopContainerRequest) (*runtime.StopContainerResponse, error) {
	c, err := s.Pods.Container(req.ContainerId)
	if errdefs.IsNotFound(err) {
		return &runtime.StopContainerResponse{}, nil
	}
	if err == nil {
		err = c.Stop(ctx, seconds(req.Timeout))
	}
	return result(&runtime.StopContainerResponse{}, err)
}

// seconds is a duration that does not overflow, and 0 for a negative one.
func seconds(n int64) time.Duration {
	return time.Duration(max(0, min(n, math.MaxInt64/int64(time.Second)))) * time.Second
}

// RemoveContainer removes a container. One that does not exist is removed.
func (s *Service) RemoveContainer(ctx context.Context, req *runtime.RemoveContainerRequest) (*runtime.RemoveContainerResponse, error) {
	c, err := s.Pods.Container(req.ContainerId)
	if errdefs.IsNotFound(err) {
		return &runtime.RemoveContainerResponse{}, nil
	}
	if err == nil {
		err = c.Remove(ctx)
	}
	return result(&runtime.RemoveContainerResponse{}, err)
}

// ContainerStatus tells the status of a container.
func (s *Service) ContainerStatus(_ context.Context, req *runtime.ContainerStatusRequest) (*runtime.ContainerStatusResponse, error) {
	c, err := s.Pods.Container(req.ContainerId)
	if err != nil {
		return nil, fail(err)
	}
	response := &runtime.ContainerStatusResponse{Status: containerStatus(c)}
	if req.Verbose {
		response.Info, err = containerInfo(c)
	}
	return result(response, err)
}

// containerInfo is what crictl inspect shows, in the form that tools expect from containerd.
func containerInfo(c *pod.Container) (map[string]string, error) {
	spec, err := c.Spec()
	if err != nil {
		return nil, err
	}
	now := c.Status()
	return info(map[string]any{
		"sandboxID":   c.Sandbox.ID,
		"pid":         now.Pid,
		"removing":    false,
		"snapshotKey": c.ID,
		"runtimeType": "io.containerd.sardine.v1",
		"config":      c.Config(),
		"runtimeSpec": spec,
	})
}

func containerStatus(c *pod.Container) *runtime.ContainerStatus {
	now := c.Status()
	status := &runtime.ContainerStatus{
		Id: c.ID, Metadata: c.Metadata, State: containerState(now.State), CreatedAt: c.Created.UnixNano(),
		StartedAt: nanoseconds(now.Started), FinishedAt: nanoseconds(now.Finished), ExitCode: now.ExitCode, Reason: now.Reason, Message: now.Message,
		Image:    &runtime.ImageSpec{Image: now.ImageName, UserSpecifiedImage: c.Image.GetUserSpecifiedImage(), RuntimeHandler: c.Image.GetRuntimeHandler()},
		ImageRef: now.ImageRef, ImageId: now.ImageID, Labels: c.Labels, Annotations: c.Annotations, Mounts: c.Config().Mounts,
		LogPath: now.LogPath, User: c.User(), StopSignal: podspec.CRISignal(now.StopSignal),
		Resources: &runtime.ContainerResources{Linux: c.Resources()},
	}
	if now.State == pod.Starting { // it has not come to that yet
		status.StartedAt = 0
	}
	return status
}

// nanoseconds is 0 for what has not happened.
func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// containerStatuses are those of a pod, the newest first: with evented PLEG the kubelet takes them as they are.
func containerStatuses(s *pod.Sandbox) []*runtime.ContainerStatus {
	var statuses []*runtime.ContainerStatus
	for _, c := range s.Containers() {
		statuses = append(statuses, containerStatus(c))
	}
	slices.SortFunc(statuses, func(a, b *runtime.ContainerStatus) int { return cmp.Compare(b.CreatedAt, a.CreatedAt) })
	return statuses
}

func containerState(s pod.State) runtime.ContainerState {
	switch s {
	case pod.Created, pod.Starting:
		return runtime.ContainerState_CONTAINER_CREATED
	case pod.Running:
		return runtime.ContainerState_CONTAINER_RUNNING
	case pod.Exited:
		return runtime.ContainerState_CONTAINER_EXITED
	}
	return runtime.ContainerState_CONTAINER_UNKNOWN
}

// UpdateContainerResources changes the limits of a container.
func (s *Service) UpdateContainerResources(ctx context.Context, req *runtime.UpdateContainerResourcesRequest) (*runtime.UpdateContainerResourcesResponse, error) {
	if req.Linux == nil {
		return nil, fail(invalid("linux: the resources are missing"))
	}
	c, err := s.Pods.Container(req.ContainerId)
	if err == nil {
		err = c.Update(ctx, req.Linux)
	}
	return result(&runtime.UpdateContainerResourcesResponse{}, err)
}

// ReopenContainerLog starts a new log file.
func (s *Service) ReopenContainerLog(_ context.Context, req *runtime.ReopenContainerLogRequest) (*runtime.ReopenContainerLogResponse, error) {
	c, err := s.Pods.Container(req.ContainerId)
	if err == nil {
		err = c.ReopenLog()
	}
	return result(&runtime.ReopenContainerLogResponse{}, err)
}
