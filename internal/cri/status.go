// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"context"
	"maps"
	"slices"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Status tells whether pods can be run, and what the runtime can do.
func (s *Service) Status(_ context.Context, req *runtime.StatusRequest) (*runtime.StatusResponse, error) {
	network := &runtime.RuntimeCondition{Type: runtime.NetworkReady, Status: true}
	if err := s.Pods.Networks.Ready(); err != nil {
		network.Status, network.Reason, network.Message = false, "NetworkPluginNotReady", "Network plugin returns error: "+err.Error()
	}
	response := &runtime.StatusResponse{
		Status:          &runtime.RuntimeStatus{Conditions: []*runtime.RuntimeCondition{{Type: runtime.RuntimeReady, Status: true}, network}},
		RuntimeHandlers: s.handlers(),
		Features:        &runtime.RuntimeFeatures{SupplementalGroupsPolicy: true},
	}
	if req.Verbose {
		response.Info = s.Info
	}
	return response, nil
}

// handlers lists the runtime handlers; "" stands for the default one.
func (s *Service) handlers() []*runtime.RuntimeHandler {
	list := []*runtime.RuntimeHandler{s.runtimeHandler("")}
	for _, name := range slices.Sorted(maps.Keys(s.Pods.Handlers)) {
		list = append(list, s.runtimeHandler(name))
	}
	return list
}

func (s *Service) runtimeHandler(name string) *runtime.RuntimeHandler {
	return &runtime.RuntimeHandler{Name: name, Features: &runtime.RuntimeHandlerFeatures{
		RecursiveReadOnlyMounts: s.Features.RecursiveReadOnlyMounts, UserNamespaces: s.Features.UserNamespaces,
	}}
}
