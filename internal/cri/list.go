// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/pod"
)

// page is how many items one message of a streamed list has.
const page = 256

// ListPodSandbox lists pods.
func (s *Service) ListPodSandbox(_ context.Context, req *runtime.ListPodSandboxRequest) (*runtime.ListPodSandboxResponse, error) {
	return &runtime.ListPodSandboxResponse{Items: s.sandboxes(req.Filter)}, nil
}

// StreamPodSandboxes lists pods, in parts.
func (s *Service) StreamPodSandboxes(req *runtime.StreamPodSandboxesRequest, out grpc.ServerStreamingServer[runtime.StreamPodSandboxesResponse]) error {
	return inPages(s.sandboxes(req.Filter), func(part []*runtime.PodSandbox) error {
		return out.Send(&runtime.StreamPodSandboxesResponse{PodSandboxes: part})
	})
}

func inPages[T any](items []T, send func([]T) error) error {
	for part := range slices.Chunk(items, page) {
		if err := send(part); err != nil {
			return err
		}
	}
	return nil
}

// sandboxes are those of the filter, the oldest first.
func (s *Service) sandboxes(f *runtime.PodSandboxFilter) []*runtime.PodSandbox {
	var items []*runtime.PodSandbox
	for _, sandbox := range s.Pods.Sandboxes() {
		state := sandboxState(sandbox.Status())
		if !strings.HasPrefix(sandbox.ID, f.GetId()) || f.GetState() != nil && f.State.State != state || !selected(f.GetLabelSelector(), sandbox.Labels) {
			continue
		}
		items = append(items, &runtime.PodSandbox{
			Id: sandbox.ID, Metadata: sandbox.Metadata, State: state, CreatedAt: sandbox.Created.UnixNano(),
			Labels: sandbox.Labels, Annotations: sandbox.Annotations, RuntimeHandler: sandbox.HandlerName,
		})
	}
	slices.SortFunc(items, func(a, b *runtime.PodSandbox) int { return cmp.Compare(a.CreatedAt, b.CreatedAt) })
	return items
}

func selected(selector, labels map[string]string) bool {
	for k, v := range selector {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// ListContainers lists containers.
func (s *Service) ListContainers(_ context.Context, req *runtime.ListContainersRequest) (*runtime.ListContainersResponse, error) {
	return &runtime.ListContainersResponse{Containers: s.containers(req.Filter)}, nil
}

// StreamContainers lists containers, in parts.
func (s *Service) StreamContainers(req *runtime.StreamContainersRequest, out grpc.ServerStreamingServer[runtime.StreamContainersResponse]) error {
	return inPages(s.containers(req.Filter), func(part []*runtime.Container) error {
		return out.Send(&runtime.StreamContainersResponse{Containers: part})
	})
}

// containers are those of the filter, the oldest first.
func (s *Service) containers(f *runtime.ContainerFilter) []*runtime.Container {
	var items []*runtime.Container
	for _, c := range s.Pods.AllContainers() {
		if !strings.HasPrefix(c.ID, f.GetId()) || !strings.HasPrefix(c.Sandbox.ID, f.GetPodSandboxId()) || !selected(f.GetLabelSelector(), c.Labels) {
			continue
		}
		now := c.Status()
		if state := containerState(now.State); f.GetState() == nil || f.State.State == state {
			items = append(items, listed(c, now))
		}
	}
	slices.SortFunc(items, func(a, b *runtime.Container) int { return cmp.Compare(a.CreatedAt, b.CreatedAt) })
	return items
}

func listed(c *pod.Container, now pod.ContainerStatus) *runtime.Container {
	return &runtime.Container{
		Id: c.ID, PodSandboxId: c.Sandbox.ID, Metadata: c.Metadata, Image: c.Image, ImageRef: now.ImageRef, ImageId: now.ImageID,
		State: containerState(now.State), CreatedAt: c.Created.UnixNano(), Labels: c.Labels, Annotations: c.Annotations,
	}
}

// HasSandbox reports whether id, or a prefix of it, is of a pod.
func (s *Service) HasSandbox(id string) bool {
	_, err := s.Pods.Sandbox(id)
	return err == nil
}

// HasContainer reports whether id, or a prefix of it, is of a container.
func (s *Service) HasContainer(id string) bool {
	_, err := s.Pods.Container(id)
	return err == nil
}
