// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"os"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/stream"
)

// Running is what a session with the container id needs: stream.Containers.
func (m *Manager) Running(id string) (stream.Container, error) {
	c, err := m.Container(id)
	if err != nil {
		return stream.Container{}, err
	}
	task, err := c.Task()
	if err != nil {
		return stream.Container{}, err
	}
	return stream.Container{Task: task, Log: c.Log(), StdinOnce: c.stdinOnce, Target: probed{c, task}}, nil
}

// NetNS returns the network namespace of the pod sandbox id, nil for the host's: stream.Containers.
func (m *Manager) NetNS(id string) (*os.File, error) {
	s, err := m.Sandbox(id)
	if err != nil {
		return nil, err
	}
	if !s.Status().Ready {
		return nil, unready("pod sandbox %s is not ready", s.ID)
	}
	f := s.NetNSFile()
	if f == nil {
		return nil, nil
	}
	return kernel.Dup(f)
}
