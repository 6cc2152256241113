// SPDX-License-Identifier: Apache-2.0

package crirouter

import (
	"context"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// The calls that go by the id of a pod.

// StopPodSandbox goes to who has the pod.
func (r *Router) StopPodSandbox(ctx context.Context, req *runtime.StopPodSandboxRequest) (*runtime.StopPodSandboxResponse, error) {
	return r.forSandbox(req.PodSandboxId).StopPodSandbox(ctx, req)
}

// RemovePodSandbox goes to who has the pod.
func (r *Router) RemovePodSandbox(ctx context.Context, req *runtime.RemovePodSandboxRequest) (*runtime.RemovePodSandboxResponse, error) {
	return r.forSandbox(req.PodSandboxId).RemovePodSandbox(ctx, req)
}

// PodSandboxStatus goes to who has the pod.
func (r *Router) PodSandboxStatus(ctx context.Context, req *runtime.PodSandboxStatusRequest) (*runtime.PodSandboxStatusResponse, error) {
	return r.forSandbox(req.PodSandboxId).PodSandboxStatus(ctx, req)
}

// PodSandboxStats goes to who has the pod.
func (r *Router) PodSandboxStats(ctx context.Context, req *runtime.PodSandboxStatsRequest) (*runtime.PodSandboxStatsResponse, error) {
	return r.forSandbox(req.PodSandboxId).PodSandboxStats(ctx, req)
}

// UpdatePodSandboxResources goes to who has the pod.
func (r *Router) UpdatePodSandboxResources(ctx context.Context, req *runtime.UpdatePodSandboxResourcesRequest) (*runtime.UpdatePodSandboxResourcesResponse, error) {
	return r.forSandbox(req.PodSandboxId).UpdatePodSandboxResources(ctx, req)
}

// PortForward goes to who has the pod.
func (r *Router) PortForward(ctx context.Context, req *runtime.PortForwardRequest) (*runtime.PortForwardResponse, error) {
	return r.forSandbox(req.PodSandboxId).PortForward(ctx, req)
}

// CheckpointPod goes to who has the pod.
func (r *Router) CheckpointPod(ctx context.Context, req *runtime.CheckpointPodRequest) (*runtime.CheckpointPodResponse, error) {
	return r.forSandbox(req.PodSandboxId).CheckpointPod(ctx, req)
}

// CreateContainer goes to who has the pod.
func (r *Router) CreateContainer(ctx context.Context, req *runtime.CreateContainerRequest) (*runtime.CreateContainerResponse, error) {
	return r.forSandbox(req.PodSandboxId).CreateContainer(ctx, req)
}

// The calls that go by the id of a container.

// StartContainer goes to who has the container.
func (r *Router) StartContainer(ctx context.Context, req *runtime.StartContainerRequest) (*runtime.StartContainerResponse, error) {
	return r.forContainer(req.ContainerId).StartContainer(ctx, req)
}

// StopContainer goes to who has the container.
func (r *Router) StopContainer(ctx context.Context, req *runtime.StopContainerRequest) (*runtime.StopContainerResponse, error) {
	return r.forContainer(req.ContainerId).StopContainer(ctx, req)
}

// RemoveContainer goes to who has the container.
func (r *Router) RemoveContainer(ctx context.Context, req *runtime.RemoveContainerRequest) (*runtime.RemoveContainerResponse, error) {
	return r.forContainer(req.ContainerId).RemoveContainer(ctx, req)
}

// ContainerStatus goes to who has the container.
func (r *Router) ContainerStatus(ctx context.Context, req *runtime.ContainerStatusRequest) (*runtime.ContainerStatusResponse, error) {
	return r.forContainer(req.ContainerId).ContainerStatus(ctx, req)
}

// UpdateContainerResources goes to who has the container.
func (r *Router) UpdateContainerResources(ctx context.Context, req *runtime.UpdateContainerResourcesRequest) (*runtime.UpdateContainerResourcesResponse, error) {
	return r.forContainer(req.ContainerId).UpdateContainerResources(ctx, req)
}

// ReopenContainerLog goes to who has the container.
func (r *Router) ReopenContainerLog(ctx context.Context, req *runtime.ReopenContainerLogRequest) (*runtime.ReopenContainerLogResponse, error) {
	return r.forContainer(req.ContainerId).ReopenContainerLog(ctx, req)
}

// ExecSync goes to who has the container.
func (r *Router) ExecSync(ctx context.Context, req *runtime.ExecSyncRequest) (*runtime.ExecSyncResponse, error) {
	return r.forContainer(req.ContainerId).ExecSync(ctx, req)
}

// Exec goes to who has the container.
func (r *Router) Exec(ctx context.Context, req *runtime.ExecRequest) (*runtime.ExecResponse, error) {
	return r.forContainer(req.ContainerId).Exec(ctx, req)
}

// Attach goes to who has the container.
func (r *Router) Attach(ctx context.Context, req *runtime.AttachRequest) (*runtime.AttachResponse, error) {
	return r.forContainer(req.ContainerId).Attach(ctx, req)
}

// ContainerStats goes to who has the container.
func (r *Router) ContainerStats(ctx context.Context, req *runtime.ContainerStatsRequest) (*runtime.ContainerStatsResponse, error) {
	return r.forContainer(req.ContainerId).ContainerStats(ctx, req)
}

// CheckpointContainer goes to who has the container.
func (r *Router) CheckpointContainer(ctx context.Context, req *runtime.CheckpointContainerRequest) (*runtime.CheckpointContainerResponse, error) {
	return r.forContainer(req.ContainerId).CheckpointContainer(ctx, req)
}
