// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/pod"
	"github.com/sardine-run/sardine/internal/podstats"
)

// ContainerStats reports what a container uses.
func (s *Service) ContainerStats(_ context.Context, req *runtime.ContainerStatsRequest) (*runtime.ContainerStatsResponse, error) {
	c, err := s.Pods.Container(req.ContainerId)
	if err != nil {
		return nil, fail(err)
	}
	stats, err := s.Stats.Container(s.measuredContainer(c))
	return result(&runtime.ContainerStatsResponse{Stats: stats}, err)
}

// ListContainerStats reports what containers use.
func (s *Service) ListContainerStats(ctx context.Context, req *runtime.ListContainerStatsRequest) (*runtime.ListContainerStatsResponse, error) {
	return &runtime.ListContainerStatsResponse{Stats: s.containerStats(ctx, req.Filter)}, nil
}

// StreamContainerStats reports what containers use, in parts.
func (s *Service) StreamContainerStats(req *runtime.StreamContainerStatsRequest, out grpc.ServerStreamingServer[runtime.StreamContainerStatsResponse]) error {
	return inPages(s.containerStats(out.Context(), req.Filter), func(part []*runtime.ContainerStats) error {
		return out.Send(&runtime.StreamContainerStatsResponse{ContainerStats: part})
	})
}

func (s *Service) containerStats(ctx context.Context, f *runtime.ContainerStatsFilter) []*runtime.ContainerStats {
	var measured []*podstats.Container
	for _, c := range s.Pods.AllContainers() {
		if strings.HasPrefix(c.ID, f.GetId()) && strings.HasPrefix(c.Sandbox.ID, f.GetPodSandboxId()) && selected(f.GetLabelSelector(), c.Labels) &&
			c.Status().State == pod.Running {
			measured = append(measured, s.measuredContainer(c))
		}
	}
	return s.Stats.Containers(ctx, measured)
}

func (s *Service) measuredContainer(c *pod.Container) *podstats.Container {
	now := c.Status()
	m := &podstats.Container{
		Attributes: &runtime.ContainerAttributes{Id: c.ID, Metadata: c.Metadata, Labels: c.Labels, Annotations: c.Annotations},
		Image:      now.ImageName, StartedAt: now.Started, Resources: c.Resources(),
		Layer: c.WritableLayer(), LayerMount: s.LayerMount, History: &c.History,
	}
	if task, err := c.Task(); err == nil {
		m.Process = task
	}
	return m
}

// PodSandboxStats reports what a pod uses.
func (s *Service) PodSandboxStats(ctx context.Context, req *runtime.PodSandboxStatsRequest) (*runtime.PodSandboxStatsResponse, error) {
	sandbox, err := s.Pods.Sandbox(req.PodSandboxId)
	if err != nil {
		return nil, fail(err)
	}
	return &runtime.PodSandboxStatsResponse{Stats: s.Stats.Pod(ctx, s.measuredPod(sandbox))}, nil
}

// ListPodSandboxStats reports what pods use.
func (s *Service) ListPodSandboxStats(ctx context.Context, req *runtime.ListPodSandboxStatsRequest) (*runtime.ListPodSandboxStatsResponse, error) {
	return &runtime.ListPodSandboxStatsResponse{Stats: s.podStats(ctx, req.Filter)}, nil
}

// StreamPodSandboxStats reports what pods use, in parts.
func (s *Service) StreamPodSandboxStats(req *runtime.StreamPodSandboxStatsRequest, out grpc.ServerStreamingServer[runtime.StreamPodSandboxStatsResponse]) error {
	return inPages(s.podStats(out.Context(), req.Filter), func(part []*runtime.PodSandboxStats) error {
		return out.Send(&runtime.StreamPodSandboxStatsResponse{PodSandboxStats: part})
	})
}

func (s *Service) podStats(ctx context.Context, f *runtime.PodSandboxStatsFilter) []*runtime.PodSandboxStats {
	return s.Stats.Pods(ctx, s.measuredPods(func(sandbox *pod.Sandbox) bool {
		return strings.HasPrefix(sandbox.ID, f.GetId()) && selected(f.GetLabelSelector(), sandbox.Labels)
	}))
}

// measuredPods are the pods that are ready and wanted.
func (s *Service) measuredPods(want func(*pod.Sandbox) bool) []*podstats.Pod {
	var measured []*podstats.Pod
	for _, sandbox := range s.Pods.Sandboxes() {
		if sandbox.Status().Ready && want(sandbox) {
			measured = append(measured, s.measuredPod(sandbox))
		}
	}
	return measured
}

func (s *Service) measuredPod(sandbox *pod.Sandbox) *podstats.Pod {
	m := &podstats.Pod{
		Attributes: &runtime.PodSandboxAttributes{
			Id: sandbox.ID, Metadata: sandbox.Metadata, Labels: sandbox.Labels, Annotations: sandbox.Annotations,
		},
		CgroupParent: sandbox.CgroupParent, NetNS: sandbox.NetNSFile(), History: &sandbox.History,
	}
	for _, c := range sandbox.Containers() {
		if c.Status().State == pod.Running {
			m.Containers = append(m.Containers, s.measuredContainer(c))
		}
	}
	return m
}

// ListMetricDescriptors tells which metrics ListPodSandboxMetrics has.
func (s *Service) ListMetricDescriptors(context.Context, *runtime.ListMetricDescriptorsRequest) (*runtime.ListMetricDescriptorsResponse, error) {
	return &runtime.ListMetricDescriptorsResponse{Descriptors: podstats.Descriptors()}, nil
}

// ListPodSandboxMetrics reports what pods use under cAdvisor's names.
func (s *Service) ListPodSandboxMetrics(ctx context.Context, _ *runtime.ListPodSandboxMetricsRequest) (*runtime.ListPodSandboxMetricsResponse, error) {
	return &runtime.ListPodSandboxMetricsResponse{PodMetrics: s.Stats.Metrics(ctx, s.measuredPods(all))}, nil
}

// StreamPodSandboxMetrics reports the same in parts.
func (s *Service) StreamPodSandboxMetrics(_ *runtime.StreamPodSandboxMetricsRequest, out grpc.ServerStreamingServer[runtime.StreamPodSandboxMetricsResponse]) error {
	return inPages(s.Stats.Metrics(out.Context(), s.measuredPods(all)), func(part []*runtime.PodSandboxMetrics) error {
		return out.Send(&runtime.StreamPodSandboxMetricsResponse{PodSandboxMetrics: part})
	})
}

func all(*pod.Sandbox) bool { return true }
