// SPDX-License-Identifier: Apache-2.0

package crirouter

import (
	"context"

	"google.golang.org/grpc"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Local is what the Router must know of our own server.
type Local interface {
	runtime.RuntimeServiceServer
	// HasSandbox and HasContainer report whether an id, or a prefix of one, is of a pod of ours.
	HasSandbox(id string) bool
	HasContainer(id string) bool
}

// Stock is containerd's own server.
type Stock interface {
	runtime.RuntimeServiceServer
	// IsInitialized reports whether it knows its pods again.
	IsInitialized() bool
}

// Router is a RuntimeService over two others. What it does not define itself is ours.
type Router struct {
	Local
	stock Stock
	// shims are the runtime handlers of the stock server.
	shims map[string]bool
}

var _ runtime.RuntimeServiceServer = (*Router)(nil)

// New returns a Router. Handlers that shims names are those of stock, the others are ours.
func New(ours Local, stock Stock, shims []string) *Router {
	r := &Router{Local: ours, stock: stock, shims: map[string]bool{}}
	for _, name := range shims {
		r.shims[name] = true
	}
	return r
}

// forSandbox is who has the pod. What is not ours is the stock server's to refuse.
func (r *Router) forSandbox(id string) runtime.RuntimeServiceServer {
	if id == "" || r.HasSandbox(id) {
		return r.Local
	}
	return r.stock
}

func (r *Router) forContainer(id string) runtime.RuntimeServiceServer {
	if id == "" || r.HasContainer(id) {
		return r.Local
	}
	return r.stock
}

// RunPodSandbox goes by the runtime handler.
func (r *Router) RunPodSandbox(ctx context.Context, req *runtime.RunPodSandboxRequest) (*runtime.RunPodSandboxResponse, error) {
	if r.shims[req.RuntimeHandler] {
		return r.stock.RunPodSandbox(ctx, req)
	}
	return r.Local.RunPodSandbox(ctx, req)
}

// Status is ours, with the stock server's handlers.
func (r *Router) Status(ctx context.Context, req *runtime.StatusRequest) (*runtime.StatusResponse, error) {
	response, err := r.Local.Status(ctx, req)
	if err != nil {
		return nil, err
	}
	theirs, err := r.stock.Status(ctx, req)
	if err != nil {
		return nil, err
	}
	for _, h := range theirs.RuntimeHandlers {
		if r.shims[h.Name] {
			response.RuntimeHandlers = append(response.RuntimeHandlers, h)
		}
	}
	return response, nil
}

// UpdateRuntimeConfig goes to both.
func (r *Router) UpdateRuntimeConfig(ctx context.Context, req *runtime.UpdateRuntimeConfigRequest) (*runtime.UpdateRuntimeConfigResponse, error) {
	if _, err := r.stock.UpdateRuntimeConfig(ctx, req); err != nil {
		return nil, err
	}
	return r.Local.UpdateRuntimeConfig(ctx, req)
}

// call is one RPC of both servers.
type call[Request, Response any] func(runtime.RuntimeServiceServer, context.Context, *Request) (*Response, error)

// both makes a call to both servers and returns the two responses, ours first.
func both[Request, Response any](r *Router, ctx context.Context, req *Request, f call[Request, Response]) (ours, theirs *Response, err error) {
	if ours, err = f(r.Local, ctx, req); err != nil {
		return nil, nil, err
	}
	theirs, err = f(r.stock, ctx, req)
	return ours, theirs, err
}

// ListPodSandbox lists the pods of both.
func (r *Router) ListPodSandbox(ctx context.Context, req *runtime.ListPodSandboxRequest) (*runtime.ListPodSandboxResponse, error) {
	ours, theirs, err := both(r, ctx, req, runtime.RuntimeServiceServer.ListPodSandbox)
	if err != nil {
		return nil, err
	}
	return &runtime.ListPodSandboxResponse{Items: append(ours.Items, theirs.Items...)}, nil
}

// ListContainers lists the containers of both.
func (r *Router) ListContainers(ctx context.Context, req *runtime.ListContainersRequest) (*runtime.ListContainersResponse, error) {
	ours, theirs, err := both(r, ctx, req, runtime.RuntimeServiceServer.ListContainers)
	if err != nil {
		return nil, err
	}
	return &runtime.ListContainersResponse{Containers: append(ours.Containers, theirs.Containers...)}, nil
}

// ListContainerStats lists the use of the containers of both.
func (r *Router) ListContainerStats(ctx context.Context, req *runtime.ListContainerStatsRequest) (*runtime.ListContainerStatsResponse, error) {
	ours, theirs, err := both(r, ctx, req, runtime.RuntimeServiceServer.ListContainerStats)
	if err != nil {
		return nil, err
	}
	return &runtime.ListContainerStatsResponse{Stats: append(ours.Stats, theirs.Stats...)}, nil
}

// ListPodSandboxStats lists the use of the pods of both.
func (r *Router) ListPodSandboxStats(ctx context.Context, req *runtime.ListPodSandboxStatsRequest) (*runtime.ListPodSandboxStatsResponse, error) {
	ours, theirs, err := both(r, ctx, req, runtime.RuntimeServiceServer.ListPodSandboxStats)
	if err != nil {
		return nil, err
	}
	return &runtime.ListPodSandboxStatsResponse{Stats: append(ours.Stats, theirs.Stats...)}, nil
}

// ListPodSandboxMetrics lists the metrics of the pods of both.
func (r *Router) ListPodSandboxMetrics(ctx context.Context, req *runtime.ListPodSandboxMetricsRequest) (*runtime.ListPodSandboxMetricsResponse, error) {
	ours, theirs, err := both(r, ctx, req, runtime.RuntimeServiceServer.ListPodSandboxMetrics)
	if err != nil {
		return nil, err
	}
	return &runtime.ListPodSandboxMetricsResponse{PodMetrics: append(ours.PodMetrics, theirs.PodMetrics...)}, nil
}

// inTurn streams the one list and then the other.
func inTurn[Request, Response any](r *Router, req *Request, out grpc.ServerStreamingServer[Response],
	f func(runtime.RuntimeServiceServer, *Request, grpc.ServerStreamingServer[Response]) error) error {
	if err := f(r.Local, req, out); err != nil {
		return err
	}
	return f(r.stock, req, out)
}

// StreamPodSandboxes lists the pods of both.
func (r *Router) StreamPodSandboxes(req *runtime.StreamPodSandboxesRequest, out grpc.ServerStreamingServer[runtime.StreamPodSandboxesResponse]) error {
	return inTurn(r, req, out, runtime.RuntimeServiceServer.StreamPodSandboxes)
}

// StreamContainers lists the containers of both.
func (r *Router) StreamContainers(req *runtime.StreamContainersRequest, out grpc.ServerStreamingServer[runtime.StreamContainersResponse]) error {
	return inTurn(r, req, out, runtime.RuntimeServiceServer.StreamContainers)
}

// StreamContainerStats lists the use of the containers of both.
func (r *Router) StreamContainerStats(req *runtime.StreamContainerStatsRequest, out grpc.ServerStreamingServer[runtime.StreamContainerStatsResponse]) error {
	return inTurn(r, req, out, runtime.RuntimeServiceServer.StreamContainerStats)
}

// StreamPodSandboxStats lists the use of the pods of both.
func (r *Router) StreamPodSandboxStats(req *runtime.StreamPodSandboxStatsRequest, out grpc.ServerStreamingServer[runtime.StreamPodSandboxStatsResponse]) error {
	return inTurn(r, req, out, runtime.RuntimeServiceServer.StreamPodSandboxStats)
}

// StreamPodSandboxMetrics lists the metrics of the pods of both.
func (r *Router) StreamPodSandboxMetrics(req *runtime.StreamPodSandboxMetricsRequest, out grpc.ServerStreamingServer[runtime.StreamPodSandboxMetricsResponse]) error {
	return inTurn(r, req, out, runtime.RuntimeServiceServer.StreamPodSandboxMetrics)
}
