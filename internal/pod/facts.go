// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"errors"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Pid is that of the process that holds the pod's pid namespace, 0 without one.
func (s *Sandbox) Pid() int {
	if s.holder == nil {
		return 0
	}
	return s.holder.Pid()
}

// UpdateResources notes what the kubelet has given the pod's cgroup.
func (s *Sandbox) UpdateResources(ctx context.Context, overhead, resources *runtime.LinuxContainerResources) error {
	op := s.manager.Plugins.Begin()
	defer op.End()
	if !s.Status().Ready {
		return unready("pod sandbox %s is not ready", s.ID)
	}
	if op.Active() {
		if err := op.UpdatePodSandbox(ctx, s.forPlugins(), overhead, resources); err != nil {
			return err
		}
	}
	if err := s.noteResources(overhead, resources); err != nil {
		return err
	}
	if !op.Active() {
		return nil
	}
	return op.PostUpdatePodSandbox(ctx, s.forPlugins())
}

// noteResources keeps what the kubelet has told. nil is nothing new.
func (s *Sandbox) noteResources(overhead, resources *runtime.LinuxContainerResources) error {
	packedOverhead, errOverhead := pack(overhead)
	packedResources, errResources := pack(resources)
	if err := errors.Join(errOverhead, errResources); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if overhead != nil {
		s.overhead = packedOverhead
	}
	if resources != nil {
		s.resources = packedResources
	}
	return s.save()
}

// Spec is the OCI runtime spec of the container.
func (c *Container) Spec() (*specs.Spec, error) {
	spec, _, err := c.readSpec()
	return spec, err
}
