// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Namespaces of the pod, as paths.
func (s *Sandbox) Namespaces() map[specs.LinuxNamespaceType]string { return s.spec().Namespaces }

// Pid is that of the process that holds the pod's pid namespace, 0 without one.
func (s *Sandbox) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder == nil {
		return 0
	}
	return s.holder.Pid()
}

// UpdateResources notes what the kubelet has given the pod's cgroup.
func (s *Sandbox) UpdateResources(_ context.Context, overhead, resources *runtime.LinuxContainerResources) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != ready {
		return unready("pod sandbox %s is not ready", s.ID)
	}
	s.overhead, s.resources = overhead, resources
	return nil
}

// Spec is the OCI runtime spec of the container.
func (c *Container) Spec() (*specs.Spec, error) {
	spec, _, err := c.readSpec()
	return spec, err
}
