// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/fault"
)

// Delete removes a container that has ended, or that was never started, and returns how it
// ended. After an error it can be tried again.
func (c *Container) Delete(ctx context.Context) (Exit, error) {
	c.op.Lock()
	defer c.op.Unlock()
	if err := c.need("delete", Created, Stopped); err != nil {
		return Exit{}, err
	}
	if err := c.endUnstarted(ctx); err != nil {
		return Exit{}, err
	}
	if err := c.dismantle(ctx); err != nil {
		return Exit{}, fmt.Errorf("delete container %s: %w", c.key, err)
	}
	c.manager.drop(c.key)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = Deleted
	c.notify(Event{Kind: ContainerDeleted, Pid: c.init.identity.Pid, Exit: *c.init.ended})
	return *c.init.ended, nil
}

// endUnstarted ends the process of a container that was only created.
func (c *Container) endUnstarted(ctx context.Context) error {
	if c.Status().State == Stopped {
		return nil
	}
	if err := c.Kill(unix.SIGKILL, false); err != nil && !errors.Is(err, errFinished) {
		log.G(ctx).WithError(err).Debug("end a container that was not started")
	}
	ctx, cancel := cleanup(ctx)
	defer cancel()
	if err := c.init.wait(ctx); err != nil {
		return fmt.Errorf("delete container %s: its process %d does not end: %w", c.key, c.Pid(), err)
	}
	return nil
}

// dismantle undoes what Create did. The cgroup goes first: a process that is left over
// might hold the streams, and nothing waits for those then.
func (c *Container) dismantle(ctx context.Context) error {
	if err := c.manager.step(fault.DeleteCgroup, func() error { return c.emptyCgroup(ctx) }); err != nil {
		return err
	}
	err := c.manager.step(fault.DeleteStreams, func() error {
		c.dropExecs(ctx)
		c.closeStreams(ctx, c.init)
		c.shelf(c.init).Drop(roleControl)
		return nil
	})
	if err != nil {
		return err
	}
	if c.flags.postStop {
		if err := c.runPoststop(ctx); err != nil {
			log.G(ctx).WithError(err).WithField("id", c.id).Warn("poststop hook failed")
		}
	}
	c.mu.Lock()
	c.init.release()
	c.mu.Unlock()
	return c.manager.step(fault.DeleteRecord, func() error {
		if err := c.manager.removeDir(c.key); err != nil {
			return err
		}
		if c.end.elsewhere {
			c.forget(c.init)
		}
		return nil
	})
}

// emptyCgroup removes the cgroup. With a pid namespace of its own the container's
// processes ended with the first, so there is nothing to kill, nor to look for.
func (c *Container) emptyCgroup(ctx context.Context) error {
	c.group.Lock()
	defer c.group.Unlock()
	ctx, cancel := cleanup(ctx)
	defer cancel()
	if !c.flags.sharedPID && c.cgroup.Delete(ctx) == nil {
		return nil
	}
	return c.removeCgroup(ctx)
}

func (c *Container) dropExecs(ctx context.Context) {
	c.mu.Lock()
	execs := c.execs
	c.execs = nil
	c.mu.Unlock()
	for _, e := range execs {
		e.drop(ctx)
	}
}
