// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"context"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// ExecSync runs a command in a container and returns what it prints.
func (s *Service) ExecSync(ctx context.Context, req *runtime.ExecSyncRequest) (*runtime.ExecSyncResponse, error) {
	done, err := s.Sessions.ExecSync(ctx, req.ContainerId, req.Cmd, seconds(req.Timeout))
	if err != nil {
		return nil, fail(err)
	}
	return &runtime.ExecSyncResponse{Stdout: done.Stdout, Stderr: done.Stderr, ExitCode: done.ExitCode}, nil
}

// Exec returns the address of a session with a command in a container.
func (s *Service) Exec(_ context.Context, req *runtime.ExecRequest) (*runtime.ExecResponse, error) {
	response, err := s.Sessions.GetExec(req)
	return result(response, err)
}

// Attach returns the address of a session with a container.
func (s *Service) Attach(_ context.Context, req *runtime.AttachRequest) (*runtime.AttachResponse, error) {
	response, err := s.Sessions.GetAttach(req)
	return result(response, err)
}

// PortForward returns the address of a session with the ports of a pod.
func (s *Service) PortForward(_ context.Context, req *runtime.PortForwardRequest) (*runtime.PortForwardResponse, error) {
	response, err := s.Sessions.GetPortForward(req)
	return result(response, err)
}
