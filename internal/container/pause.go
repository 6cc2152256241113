// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"fmt"
)

// Pause stops all processes of a running container.
func (c *Container) Pause(ctx context.Context) error {
	c.op.Lock()
	defer c.op.Unlock()
	if err := c.need("pause", Running); err != nil {
		return err
	}
	if err := c.cgroup.Freeze(ctx); err != nil {
		return fmt.Errorf("pause container %s: %w", c.key, err)
	}
	err := c.moveAndTell(pause, ContainerPaused)
	if err != nil { // it has ended meanwhile
		_ = c.cgroup.Thaw()
	}
	return err
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
	return c.moveAndTell(resume, ContainerResumed)
}

func (c *Container) moveAndTell(a action, kind Kind) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.move(a); err != nil {
		return err
	}
	c.notify(Event{Kind: kind, Pid: c.init.identity.Pid})
	return nil
}
