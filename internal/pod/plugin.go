// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"errors"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/nri"
)

// ForPlugins lists all pods and containers for an NRI plugin that has connected: nri.Callbacks.
func (m *Manager) ForPlugins() ([]*nri.Pod, []*nri.Container) {
	var pods []*nri.Pod
	var containers []*nri.Container
	for _, s := range m.Sandboxes() {
		pods = append(pods, s.forPlugins())
	}
	for _, c := range m.AllContainers() {
		spec, err := c.Spec()
		if err != nil { // it is being removed
			continue
		}
		containers = append(containers, c.forPlugins(spec))
	}
	return pods, containers
}

// UpdateForPlugin changes the limits of a container because an NRI plugin wants to: nri.Callbacks.
func (m *Manager) UpdateForPlugin(_ context.Context, id string, r *runtime.LinuxContainerResources) error {
	c, err := m.Container(id)
	if err != nil {
		return err
	}
	return c.limit(r)
}

func (s *Sandbox) forPlugins() *nri.Pod {
	now, linux := s.Status(), s.Config().GetLinux()
	p := &nri.Pod{
		ID: s.ID, Name: s.Metadata.GetName(), UID: s.Metadata.GetUid(), Namespace: s.Metadata.GetNamespace(),
		Labels: s.Labels, Annotations: s.Annotations, RuntimeHandler: s.HandlerName, CgroupParent: s.CgroupParent,
		Overhead: linux.GetOverhead(), Resources: linux.GetResources(), Pid: s.Pid(),
	}
	if now.Network.IP != "" {
		p.IPs = append([]string{now.Network.IP}, now.Network.AdditionalIPs...)
	}
	for kind, path := range s.Namespaces() {
		p.Namespaces = append(p.Namespaces, specs.LinuxNamespace{Type: kind, Path: path})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.Stopped = s.phase != making && !now.Ready
	if s.overhead != nil {
		p.Overhead = unpacked[runtime.LinuxContainerResources](s.overhead)
	}
	if s.resources != nil {
		p.Resources = unpacked[runtime.LinuxContainerResources](s.resources)
	}
	return p
}

// forPlugins describes c, whose spec is given.
func (c *Container) forPlugins(spec *specs.Spec) *nri.Container {
	now, cfg := c.Status(), c.Config()
	n := &nri.Container{
		ID: c.ID, PodID: c.Sandbox.ID, Name: c.Metadata.GetName(), Labels: c.Labels, Annotations: c.Annotations,
		Spec: spec, SeccompProfile: cfg.GetLinux().GetSecurityContext().GetSeccomp(),
		Image: nri.Image{Name: now.ImageName, Digest: now.ImageRef, ConfigDigest: now.ImageID},
		Pid:   now.Pid, CreatedAt: c.Created, StartedAt: now.Started, Finished: now.Finished,
		ExitCode: now.ExitCode, Reason: now.Reason, Message: now.Message,
	}
	for _, d := range cfg.CDIDevices {
		n.CDIDevices = append(n.CDIDevices, d.Name)
	}
	switch now.State {
	case Created, Starting:
		n.State = runtime.ContainerState_CONTAINER_CREATED
	case Running:
		n.State = runtime.ContainerState_CONTAINER_RUNNING
	case Exited:
		n.State = runtime.ContainerState_CONTAINER_EXITED
	}
	return n
}

// toPlugins calls tell with the descriptions of c and its pod if there are plugins.
func (c *Container) toPlugins(op *nri.Operation, tell func(*nri.Pod, *nri.Container) error) error {
	if !op.Active() {
		return nil
	}
	p, n, err := c.describe()
	if err != nil {
		return err
	}
	return tell(p, n)
}

// describe returns the descriptions of c and its pod; ErrNotFound when c was removed.
func (c *Container) describe() (*nri.Pod, *nri.Container, error) {
	spec, err := c.Spec()
	if err != nil {
		return nil, nil, err
	}
	return c.Sandbox.forPlugins(), c.forPlugins(spec), nil
}

// afterwards tells plugins of something that has happened: an error of theirs changes nothing.
func (c *Container) afterwards(ctx context.Context, op *nri.Operation, tell func(*nri.Operation, context.Context, *nri.Pod, *nri.Container) error) {
	err := c.toPlugins(op, func(p *nri.Pod, n *nri.Container) error { return tell(op, ctx, p, n) })
	if err != nil && !errors.Is(err, errdefs.ErrNotFound) {
		log.G(ctx).WithError(err).WithField("id", c.ID).Warn("tell NRI plugins of a container")
	}
}

// afterwards is the same for a pod.
func (s *Sandbox) afterwards(ctx context.Context, tell func(*nri.Operation, context.Context, *nri.Pod) error) {
	op := s.manager.Plugins.Begin()
	defer op.End()
	if !op.Active() {
		return
	}
	if err := tell(op, ctx, s.forPlugins()); err != nil {
		log.G(ctx).WithError(err).WithField("id", s.ID).Warn("tell NRI plugins of a pod")
	}
}
