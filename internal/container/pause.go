// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
)

// Pause stops all processes of a running container.
func (c *Container) Pause(ctx context.Context) error {
	c.op.Lock()
	defer c.op.Unlock()
	if err := c.need("pause", Running); err != nil {
		return err
	}
	err := c.cgroup.Freeze(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || c.end.killed {
		_ = c.cgroup.Thaw() // what is frozen by cgroup v1 does not die
		return fmt.Errorf("container %s: cannot pause: it was killed: %w", c.key, errdefs.ErrFailedPrecondition)
	}
	if err != nil {
		return fmt.Errorf("pause container %s: %w", c.key, err)
	}
	return c.moveAndTell(pause, ContainerPaused)
}

// Resume lets the processes of a paused container run again.
func (c *Container) Resume(context.Context) error {
	c.op.Lock()
	defer c.op.Unlock()
	if err := c.need("resume", Paused); err != nil {
		return err
	}
	if err := c.cgroup.Thaw(); err != nil {
		return fmt.Errorf("resume container %s: %w", c.key, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.moveAndTell(resume, ContainerResumed)
}

// moveAndTell makes a transition and reports it. mu is held.
func (c *Container) moveAndTell(a action, kind Kind) error {
	if err := c.move(a); err != nil {
		return err
	}
	c.notify(Event{Kind: kind, Pid: c.init.identity.Pid})
	return nil
}
