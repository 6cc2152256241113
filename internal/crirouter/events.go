// SPDX-License-Identifier: Apache-2.0

package crirouter

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// GetContainerEvents sends the events of both servers until one of them ends, and does not wait for the other one: containerd's own
// looks neither at the context nor at anything but its next event. Its goroutine outlives this call until then, or until that
// server ends, and cannot reach the client any more.
func (r *Router) GetContainerEvents(req *runtime.GetEventsRequest, out grpc.ServerStreamingServer[runtime.ContainerEventResponse]) error {
	ctx, cancel := context.WithCancel(out.Context())
	defer cancel()
	shared := &sharedStream{ServerStreamingServer: out, ctx: ctx}
	errs := make(chan error, 2)
	for _, server := range []runtime.RuntimeServiceServer{r.Local, r.stock} {
		go func() { errs <- server.GetContainerEvents(req, shared) }()
	}
	err := <-errs // the first one that ends says why
	cancel()
	shared.close()
	return err
}

// sharedStream lets two servers send to one client, until it is closed: a stream of gRPC must not be used after its handler has returned.
type sharedStream struct {
	grpc.ServerStreamingServer[runtime.ContainerEventResponse]
	ctx context.Context

	mu     sync.Mutex
	header bool
	closed bool
}

// close waits for what is being sent. The context is done before.
func (s *sharedStream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

func (s *sharedStream) Context() context.Context { return s.ctx }

func (s *sharedStream) Send(e *runtime.ContainerEventResponse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.ctx.Err()
	}
	s.header = true
	return s.ServerStreamingServer.Send(e)
}

// SendHeader sends the header once.
func (s *sharedStream) SendHeader(md metadata.MD) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.ctx.Err()
	}
	if s.header {
		return nil
	}
	s.header = true
	return s.ServerStreamingServer.SendHeader(md)
}
