// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/nri"
)

// killTime bounds the wait for a container to end after SIGKILL: a process may be stuck in the kernel.
const killTime = 30 * time.Second

// Stop ends the container: its stop signal, and SIGKILL when it has not ended in grace; with a grace of 0 or less SIGKILL
// at once. It returns when the container is exited. nil when it does not run. The stop signal is sent once,
// however often Stop is called; the shortest grace of all calls counts. ErrUnavailable when it does not end.
func (c *Container) Stop(ctx context.Context, grace time.Duration) error {
	ended := c.end()
	if ended == nil {
		return nil
	}
	if err := c.stop(ctx, ended, grace); err != nil {
		return fmt.Errorf("stop container %s: %w", c.ID, err)
	}
	op := c.manager.Plugins.Begin()
	defer op.End()
	c.afterwards(ctx, op, (*nri.Operation).StopContainer)
	return nil
}

// end is closed when the container, which has a process, is exited; nil when it has none.
func (c *Container) end() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status.State == Created || c.status.State == Exited {
		return nil
	}
	return c.ended
}

func (c *Container) stop(ctx context.Context, ended <-chan struct{}, grace time.Duration) error {
	if grace > 0 {
		if err := c.terminate(ctx); err != nil {
			return err
		}
		if done, err := await(ctx, ended, grace); done || err != nil {
			return err
		}
	}
	if err := c.sendSignal(ctx, unix.SIGKILL); err != nil {
		return err
	}
	done, err := await(ctx, ended, killTime)
	if err == nil && !done {
		err = fmt.Errorf("it does not end after SIGKILL: %w", errdefs.ErrUnavailable)
	}
	return err
}

// await reports whether ended was closed in time.
func await(ctx context.Context, ended <-chan struct{}, patience time.Duration) (bool, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-ended:
		return true, nil
	case <-timer.C:
		return false, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

// terminate sends the stop signal, if that was not done already: a second one makes some programs give up what they do to
// end in order.
func (c *Container) terminate(ctx context.Context) error {
	c.mu.Lock()
	again := c.signalled
	c.signalled = true
	c.mu.Unlock()
	if again {
		return nil
	}
	signal, err := c.signal()
	if err != nil {
		log.G(ctx).WithError(err).WithField("id", c.ID).Warn("SIGTERM is sent instead of the stop signal")
		signal = unix.SIGTERM
	}
	if err = c.sendSignal(ctx, signal); err != nil {
		c.mu.Lock()
		c.signalled = false
		c.mu.Unlock()
	}
	return err
}

// sendSignal waits for a start to be over. nil when the container has ended.
func (c *Container) sendSignal(ctx context.Context, signal unix.Signal) error {
	if err := c.op.take(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	task := c.task
	c.mu.Unlock()
	c.op.release()
	if task == nil {
		return nil
	}
	if err := task.Kill(signal, signal == unix.SIGKILL); err != nil && !errors.Is(err, errdefs.ErrNotFound) {
		return err
	}
	return nil
}
