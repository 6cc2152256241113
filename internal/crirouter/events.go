// SPDX-License-Identifier: Apache-2.0

package crirouter

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// GetContainerEvents sends the events of both servers until one of them ends.
func (r *Router) GetContainerEvents(req *runtime.GetEventsRequest, out grpc.ServerStreamingServer[runtime.ContainerEventResponse]) error {
	ctx, cancel := context.WithCancel(out.Context())
	defer cancel()
	shared := &sharedStream{ServerStreamingServer: out, ctx: ctx}
	errs := make(chan error, 2)
	for _, server := range []runtime.RuntimeServiceServer{r.Local, r.stock} {
		go func() {
			errs <- server.GetContainerEvents(req, shared)
			cancel()
		}()
	}
	// The first one that ends says why; the other one is cancelled then.
	err, _ := <-errs, <-errs
	return err
}

// sharedStream lets two servers send to one client.
type sharedStream struct {
	grpc.ServerStreamingServer[runtime.ContainerEventResponse]
	ctx context.Context

	mu     sync.Mutex
	header bool
}

func (s *sharedStream) Context() context.Context { return s.ctx }

func (s *sharedStream) Send(e *runtime.ContainerEventResponse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.header = true
	return s.ServerStreamingServer.Send(e)
}

// SendHeader sends the header once.
func (s *sharedStream) SendHeader(md metadata.MD) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.header {
		return nil
	}
	s.header = true
	return s.ServerStreamingServer.SendHeader(md)
}
