// SPDX-License-Identifier: Apache-2.0

package criplugin

import (
	"context"
	"fmt"
	"io"
	"maps"
	"sync/atomic"

	api "github.com/containerd/containerd/api/services/containers/v1"
	"github.com/containerd/containerd/v2/pkg/filters"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/protobuf/types"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sardine-run/sardine/internal/pod"
	"github.com/sardine-run/sardine/internal/task"
)

// specType is how containerd names a runtime spec in a container's record.
const specType = "types.containerd.io/opencontainers/runtime-spec/1/Spec"

// containersView is containerd's containers service with the containers of pods in it, in the namespace k8s.io.
// Those can be looked at but not changed: they are CRI's.
type containersView struct {
	api.ContainersClient
	pods *atomic.Pointer[pod.Manager] // nil until the CRI server is there
	// stock says that containerd's own CRI server is there too. It takes what has its label for its own.
	stock *atomic.Bool
}

// ours returns the container id of a pod, nil when there is none.
func (v *containersView) ours(ctx context.Context, id string) *pod.Container {
	m := v.pods.Load()
	if namespace, _ := namespaces.Namespace(ctx); m == nil || namespace != pod.Namespace {
		return nil
	}
	c, err := m.Container(id)
	if err != nil || c.ID != id {
		return nil
	}
	return c
}

func (v *containersView) Get(ctx context.Context, req *api.GetContainerRequest, opts ...grpc.CallOption) (*api.GetContainerResponse, error) {
	if c := v.ours(ctx, req.ID); c != nil {
		record, err := v.record(c)
		return &api.GetContainerResponse{Container: record}, errgrpc.ToGRPC(err)
	}
	return v.ContainersClient.Get(ctx, req, opts...)
}

func (v *containersView) List(ctx context.Context, req *api.ListContainersRequest, opts ...grpc.CallOption) (*api.ListContainersResponse, error) {
	response, err := v.ContainersClient.List(ctx, req, opts...)
	if err != nil {
		return nil, err
	}
	more, err := v.list(ctx, req.Filters)
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	response.Containers = append(response.Containers, more...)
	return response, nil
}

func (v *containersView) list(ctx context.Context, expressions []string) ([]*api.Container, error) {
	m := v.pods.Load()
	if namespace, _ := namespaces.Namespace(ctx); m == nil || namespace != pod.Namespace {
		return nil, nil
	}
	filter, err := filters.ParseAll(expressions...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	}
	var list []*api.Container
	for _, c := range m.AllContainers() {
		record := v.describe(c)
		if !filter.Match(filters.AdapterFunc(func(path []string) (string, bool) { return field(record, path) })) {
			continue // nobody asks for its spec, which is on disk
		}
		if err := addSpec(record, c); err == nil { // otherwise it is being removed
			list = append(list, record)
		}
	}
	return list, nil
}

// field is what containerd's filters see of a container.
func field(c *api.Container, path []string) (string, bool) {
	switch path[0] {
	case "id":
		return c.ID, true
	case "image":
		return c.Image, true
	case "runtime":
		return c.Runtime.Name, len(path) == 2 && path[1] == "name"
	case "labels":
		if len(path) == 2 {
			value, ok := c.Labels[path[1]]
			return value, ok
		}
	}
	return "", false
}

func (v *containersView) ListStream(ctx context.Context, req *api.ListContainersRequest, opts ...grpc.CallOption) (api.Containers_ListStreamClient, error) {
	theirs, err := v.ContainersClient.ListStream(ctx, req, opts...)
	if err != nil {
		return nil, err
	}
	more, err := v.list(ctx, req.Filters)
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	return &listStream{theirs, more}, nil
}

// listStream yields what the inner stream does, and then more.
type listStream struct {
	api.Containers_ListStreamClient
	more []*api.Container
}

func (s *listStream) Recv() (*api.ListContainerMessage, error) {
	message, err := s.Containers_ListStreamClient.Recv()
	if err != io.EOF || len(s.more) == 0 { //nolint:errorlint // the interface promises io.EOF itself
		return message, err
	}
	message = &api.ListContainerMessage{Container: s.more[0]}
	s.more = s.more[1:]
	return message, nil
}

func (v *containersView) Update(ctx context.Context, req *api.UpdateContainerRequest, opts ...grpc.CallOption) (*api.UpdateContainerResponse, error) {
	if v.ours(ctx, req.GetContainer().GetID()) != nil {
		return nil, errReadOnly(req.Container.ID)
	}
	return v.ContainersClient.Update(ctx, req, opts...)
}

func (v *containersView) Delete(ctx context.Context, req *api.DeleteContainerRequest, opts ...grpc.CallOption) (*types.Empty, error) {
	if v.ours(ctx, req.ID) != nil {
		return nil, errReadOnly(req.ID)
	}
	return v.ContainersClient.Delete(ctx, req, opts...)
}

func (v *containersView) Create(ctx context.Context, req *api.CreateContainerRequest, opts ...grpc.CallOption) (*api.CreateContainerResponse, error) {
	if id := req.GetContainer().GetID(); v.ours(ctx, id) != nil {
		return nil, errgrpc.ToGRPC(fmt.Errorf("container %s of a pod: %w", id, errdefs.ErrAlreadyExists))
	}
	return v.ContainersClient.Create(ctx, req, opts...)
}

func errReadOnly(id string) error {
	return errgrpc.ToGRPC(fmt.Errorf("container %s is a pod's: change it through CRI (crictl, kubectl): %w", id, errdefs.ErrFailedPrecondition))
}

// kindLabel is containerd's for what its CRI server has made.
const kindLabel = "io.cri-containerd.kind"

// record is a container of a pod as containerd's clients see containers.
func (v *containersView) record(c *pod.Container) (*api.Container, error) {
	record := v.describe(c)
	return record, addSpec(record, c)
}

func addSpec(record *api.Container, c *pod.Container) error {
	text, err := c.SpecText()
	record.Spec = &anypb.Any{TypeUrl: specType, Value: text}
	return err
}

// describe is a record without the spec.
func (v *containersView) describe(c *pod.Container) *api.Container {
	labels := maps.Clone(c.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	if !v.stock.Load() {
		labels[kindLabel] = "container"
	}
	return &api.Container{
		ID: c.ID, Labels: labels, Image: c.Status().ImageName, Sandbox: c.Sandbox.ID,
		Runtime:   &api.Container_Runtime{Name: task.Name},
		CreatedAt: timestamppb.New(c.Created), UpdatedAt: timestamppb.New(c.Created),
	}
}
