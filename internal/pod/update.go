// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"errors"
	"fmt"

	"github.com/moby/sys/signal"
	"golang.org/x/sys/unix"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/nri"
)

// Update changes the limits of a container that has not ended: those that r sets.
func (c *Container) Update(ctx context.Context, r *runtime.LinuxContainerResources) error {
	op := c.manager.Plugins.Begin()
	defer op.End()
	err := c.toPlugins(op, func(p *nri.Pod, n *nri.Container) (err error) {
		r, err = op.UpdateContainer(ctx, p, n, r)
		return err
	})
	if err == nil {
		err = c.limit(r)
	}
	if err != nil {
		return err
	}
	c.afterwards(ctx, op, (*nri.Operation).PostUpdateContainer)
	return nil
}

// limit changes the limits. It does not wait for op: plugins may want it while the container is being
// started.
func (c *Container) limit(r *runtime.LinuxContainerResources) error {
	c.limits.Lock()
	defer c.limits.Unlock()
	c.mu.Lock()
	state, task := c.status.State, c.task
	c.mu.Unlock()
	if state == Exited {
		return unready("update container %s: it is %s", c.ID, state)
	}
	spec, _, err := c.readSpec()
	if err != nil {
		return err
	}
	resources, err := c.manager.Specs.UpdateResources(spec.Linux.Resources, r)
	if err == nil && task != nil {
		err = task.Update(resources)
	}
	if err != nil {
		return fmt.Errorf("update container %s: %w", c.ID, err)
	}
	changed, linux := *spec, *spec.Linux
	changed.Linux, linux.Resources = &linux, resources
	c.mu.Lock()
	err = c.noteResources(&changed)
	if c.spec != nil {
		c.spec = &changed
	}
	if state == Starting && task == nil {
		c.pending = resources // what is being started may have read the old ones
	}
	c.mu.Unlock()
	return errors.Join(err, c.writeSpec(&changed))
}

// signal is what Stop sends first.
func (c *Container) signal() (unix.Signal, error) {
	if c.stopSignal == "" {
		return unix.SIGTERM, nil
	}
	return signal.ParseSignal(c.stopSignal)
}
