// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
)

// Start lets the first process become the user's program, and returns when it has. On
// error the process ends, which is reported as its exit.
func (c *Container) Start(ctx context.Context) error {
	c.op.Lock()
	defer c.op.Unlock()
	if err := c.beginStart(); err != nil {
		return err
	}
	defer c.unhold(c.init)
	if err := c.init.handle.Start(ctx); err != nil {
		return fmt.Errorf("container %s: %w", c.key, classify(err))
	}
	c.mu.Lock()
	c.init.handle = nil
	err := c.move(start)
	if err == nil {
		c.notify(Event{Kind: ContainerStarted, Pid: c.init.identity.Pid})
	}
	c.mu.Unlock()
	if err == nil && c.flags.postStart {
		c.poststart(ctx)
	}
	return err
}

// beginStart holds back the report of an exit until that of the start is out.
func (c *Container) beginStart() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.state.after(start); err != nil {
		return fmt.Errorf("container %s: %w", c.key, err)
	}
	if c.init.ended != nil || c.init.handle == nil {
		return fmt.Errorf("container %s: cannot start: its process has ended: %w", c.key, errdefs.ErrFailedPrecondition)
	}
	c.init.held = true
	return nil
}

// poststart runs such hooks. Their failure is logged and nothing more, as the runtime
// specification has it (runtime.md, "Lifecycle", step 9).
func (c *Container) poststart(ctx context.Context) {
	if err := c.runPoststart(ctx); err != nil {
		log.L.WithError(err).WithField("id", c.id).Warn("poststart hook failed")
	}
}
