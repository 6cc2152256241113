// SPDX-License-Identifier: Apache-2.0

package nri

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/nri/pkg/adaptation"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// CreateContainer lets plugins change c.Spec, in place, and the limits of other containers. After an
// error the plugins have been told that there is no such container.
func (op *Operation) CreateContainer(ctx context.Context, p *Pod, c *Container) error {
	if !op.Active() {
		return nil
	}
	op.a.known.add(c.ID, false)
	answer, err := op.a.nri.CreateContainer(ctx, &adaptation.CreateContainerRequest{Pod: p.message(), Container: c.message()})
	if err != nil {
		return errors.Join(failed("create", "container", c.ID, err), op.UndoCreateContainer(ctx, p, c))
	}
	op.a.applyUpdates(ctx, answer.GetUpdate())
	if err := op.a.adjust(c.Spec, answer.GetAdjust()); err != nil {
		return errors.Join(fmt.Errorf("create container %s: what NRI plugins want: %w", c.ID, err), op.UndoCreateContainer(ctx, p, c))
	}
	return nil
}

// UndoCreateContainer tells that c, which CreateContainer was called for, will not be.
func (op *Operation) UndoCreateContainer(ctx context.Context, p *Pod, c *Container) error {
	return op.RemoveContainer(ctx, p, c)
}

// PostCreateContainer tells that c was created.
func (op *Operation) PostCreateContainer(ctx context.Context, p *Pod, c *Container) error {
	if !op.Active() {
		return nil
	}
	err := op.a.nri.PostCreateContainer(ctx, &adaptation.PostCreateContainerRequest{Pod: p.message(), Container: c.message()})
	return failed("create", "container", c.ID, err)
}

// StartContainer tells that c will be started: its process exists, if it says a Pid, and its
// program does not run yet. An error forbids it.
func (op *Operation) StartContainer(ctx context.Context, p *Pod, c *Container) error {
	if !op.Active() {
		return nil
	}
	err := op.a.nri.StartContainer(ctx, &adaptation.StartContainerRequest{Pod: p.message(), Container: c.message()})
	return failed("start", "container", c.ID, err)
}

// PostStartContainer tells that c runs.
func (op *Operation) PostStartContainer(ctx context.Context, p *Pod, c *Container) error {
	if !op.Active() {
		return nil
	}
	err := op.a.nri.PostStartContainer(ctx, &adaptation.PostStartContainerRequest{Pod: p.message(), Container: c.message()})
	return failed("start", "container", c.ID, err)
}

// UpdateContainer returns the limits to set in place of r, which may be r itself; an error refuses
// the request.
func (op *Operation) UpdateContainer(ctx context.Context, p *Pod, c *Container, r *runtime.LinuxContainerResources) (*runtime.LinuxContainerResources, error) {
	if !op.Active() {
		return r, nil
	}
	answer, err := op.a.nri.UpdateContainer(ctx, &adaptation.UpdateContainerRequest{
		Pod: p.message(), Container: c.message(), LinuxResources: resourcesMessage(r),
	})
	if err != nil {
		return nil, failed("update", "container", c.ID, err)
	}
	// The last one is for c itself, nil when no plugin has changed it.
	updates := answer.GetUpdate()
	if len(updates) == 0 {
		return r, nil
	}
	own := updates[len(updates)-1]
	op.a.applyUpdates(ctx, updates[:len(updates)-1])
	if own.GetLinux().GetResources() == nil {
		return r, nil
	}
	adjusted := resourcesOf(own.GetLinux().GetResources())
	adjusted.OomScoreAdj = r.GetOomScoreAdj()
	return adjusted, nil
}

// PostUpdateContainer tells that c was updated.
func (op *Operation) PostUpdateContainer(ctx context.Context, p *Pod, c *Container) error {
	if !op.Active() {
		return nil
	}
	err := op.a.nri.PostUpdateContainer(ctx, &adaptation.PostUpdateContainerRequest{Pod: p.message(), Container: c.message()})
	return failed("update", "container", c.ID, err)
}

// StopContainer tells that c has ended or was stopped, once, and applies what plugins want to give
// to others.
func (op *Operation) StopContainer(ctx context.Context, p *Pod, c *Container) error {
	if !op.Active() || !op.a.known.stop(c.ID) {
		return nil
	}
	answer, err := op.a.nri.StopContainer(ctx, &adaptation.StopContainerRequest{Pod: p.message(), Container: c.message()})
	if err != nil {
		return failed("stop", "container", c.ID, err)
	}
	op.a.applyUpdates(ctx, answer.GetUpdate())
	return nil
}

// RemoveContainer tells that c is gone, once, and that it was stopped if they do not know yet.
func (op *Operation) RemoveContainer(ctx context.Context, p *Pod, c *Container) error {
	if !op.Active() {
		return nil
	}
	stopped := op.StopContainer(ctx, p, c)
	if !op.a.known.remove(c.ID) {
		return stopped
	}
	err := op.a.nri.RemoveContainer(ctx, &adaptation.RemoveContainerRequest{Pod: p.message(), Container: c.message()})
	return errors.Join(stopped, failed("remove", "container", c.ID, err))
}
