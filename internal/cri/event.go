// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/pod"
)

// GetContainerEvents sends what happens to pods and containers from now on, with the state after it:
// evented PLEG.
func (s *Service) GetContainerEvents(_ *runtime.GetEventsRequest, out grpc.ServerStreamingServer[runtime.ContainerEventResponse]) error {
	events, stop := s.Pods.Subscribe()
	defer stop()
	// Clients wait for the header to know that they miss nothing from here on.
	if err := out.SendHeader(nil); err != nil {
		return err
	}
	for {
		select {
		case <-out.Context().Done():
			return status.FromContextError(out.Context().Err()).Err() // nil would tell a client that its time is not over
		case e, open := <-events:
			if !open {
				return status.Error(codes.ResourceExhausted, "the client is too slow or the runtime ends; list and subscribe again")
			}
			if err := out.Send(eventResponse(e)); err != nil {
				return err
			}
		}
	}
}

func eventResponse(e pod.Event) *runtime.ContainerEventResponse {
	response := &runtime.ContainerEventResponse{ContainerId: e.ContainerID, ContainerEventType: e.Type}
	response.CreatedAt, response.PodSandboxStatus, response.ContainersStatuses = everything(e.Sandbox)
	return response
}
