// SPDX-License-Identifier: Apache-2.0

package crirouter

import (
	"context"
	"slices"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// namespace is containerd's for what CRI makes.
const namespace = "k8s.io"

// Register adds the service to a gRPC server. The stock server is used without what containerd registers
// around it: a context with the namespace, errors that have their status, and Unavailable until it is initialized. Until then
// nothing is answered: a list without the stock server's pods would have the kubelet start them again.
func (r *Router) Register(g grpc.ServiceRegistrar) {
	desc := runtime.RuntimeService_ServiceDesc
	desc.Methods, desc.Streams = slices.Clone(desc.Methods), slices.Clone(desc.Streams)
	for i, m := range desc.Methods {
		desc.Methods[i].Handler = func(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
			if err := r.initialized(); err != nil {
				return nil, err
			}
			response, err := m.Handler(srv, namespaces.WithNamespace(ctx, namespace), decode, interceptor)
			return response, errgrpc.ToGRPC(err)
		}
	}
	for i, s := range desc.Streams {
		desc.Streams[i].Handler = func(srv any, stream grpc.ServerStream) error {
			if err := r.initialized(); err != nil {
				return err
			}
			return errgrpc.ToGRPC(s.Handler(srv, namespacedStream{stream}))
		}
	}
	g.RegisterService(&desc, r)
}

func (r *Router) initialized() error {
	if r.stock.IsInitialized() {
		return nil
	}
	return status.Error(codes.Unavailable, "containerd's own CRI server, which has the handlers of shims, is not initialized yet")
}

type namespacedStream struct{ grpc.ServerStream }

func (s namespacedStream) Context() context.Context {
	return namespaces.WithNamespace(s.ServerStream.Context(), namespace)
}
