// SPDX-License-Identifier: Apache-2.0

package crirouter

import (
	"context"
	"slices"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"google.golang.org/grpc"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// namespace is containerd's for what CRI makes.
const namespace = "k8s.io"

// Register adds the service to a gRPC server. The stock server is used without what containerd registers
// around it: a context with the namespace, and errors that have their status.
func (r *Router) Register(g grpc.ServiceRegistrar) {
	desc := runtime.RuntimeService_ServiceDesc
	desc.Methods, desc.Streams = slices.Clone(desc.Methods), slices.Clone(desc.Streams)
	for i, m := range desc.Methods {
		desc.Methods[i].Handler = func(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
			response, err := m.Handler(srv, namespaces.WithNamespace(ctx, namespace), decode, interceptor)
			return response, errgrpc.ToGRPC(err)
		}
	}
	for i, s := range desc.Streams {
		desc.Streams[i].Handler = func(srv any, stream grpc.ServerStream) error {
			return errgrpc.ToGRPC(s.Handler(srv, namespacedStream{stream}))
		}
	}
	g.RegisterService(&desc, r)
}

type namespacedStream struct{ grpc.ServerStream }

func (s namespacedStream) Context() context.Context {
	return namespaces.WithNamespace(s.ServerStream.Context(), namespace)
}
