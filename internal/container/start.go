// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/fault"
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
	kept := c.waits
	err := c.tell(ctx)
	if err == nil {
		err = c.started(ctx)
	}
	if kept {
		c.shelf(c.init).Drop(roleControl)
	}
	return err
}

// tell has the process become the user's program.
func (c *Container) tell(ctx context.Context) error {
	err := c.manager.step(fault.BeginRecord, c.noteTold)
	if err == nil {
		err = c.manager.step(fault.BeginProgram, func() error { return c.init.handle.Start(ctx) })
	}
	if err == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.init.signal(unix.SIGKILL) // it may have ended by itself
	return fmt.Errorf("container %s: %w", c.key, classify(err))
}

// noteTold records that the process does not wait any more. What is kept of it tells a later
// daemon that it may not know yet.
func (c *Container) noteTold() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.waits {
		return nil
	}
	c.waits = false
	return c.writeRecord()
}

// started makes the container Running.
func (c *Container) started(ctx context.Context) error {
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

// finishStart goes on where an earlier daemon was when it ended. op is held, and the report of an
// exit held back; both end here.
func (c *Container) finishStart(ctx context.Context) {
	defer c.op.Unlock()
	defer c.unhold(c.init)
	err := c.init.handle.Finish(ctx)
	if ctx.Err() != nil {
		return // for the next daemon
	}
	if err == nil {
		err = c.started(ctx)
	}
	c.shelf(c.init).Drop(roleControl)
	if err != nil {
		log.G(ctx).WithError(err).WithField("id", c.id).Warn("the start of a container, which an earlier daemon began, failed")
	}
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
