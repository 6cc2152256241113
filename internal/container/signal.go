// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Kill sends sig to the first process, or with all to every process of the container.
// ErrNotFound when it has ended.
func (c *Container) Kill(sig unix.Signal, all bool) error {
	if sig == unix.SIGKILL && c.flags.sharedPID {
		all = true // the kernel would leave the others
	}
	if sig == unix.SIGKILL {
		c.mu.Lock()
		c.end.killed = true
		c.mu.Unlock()
	}
	if err := c.kill(sig, all); err != nil {
		return fmt.Errorf("container %s: %w", c.key, err)
	}
	if sig == unix.SIGKILL && c.Status().State == Paused {
		// What is frozen by cgroup v1 does not die of the signal before it is thawed.
		return c.cgroup.Thaw()
	}
	return nil
}

func (c *Container) kill(sig unix.Signal, all bool) error {
	if all {
		return c.killAll(sig)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == Stopped || c.state == Deleted {
		return errFinished
	}
	return c.init.signal(sig)
}

// killAll does not hold mu meanwhile: without cgroup.kill a process that is just being born is waited for, which needs it.
func (c *Container) killAll(sig unix.Signal) error {
	if !c.group.TryRLock() { // the cgroup is being removed
		return errFinished
	}
	defer c.group.RUnlock()
	if state := c.Status().State; state == Stopped || state == Deleted {
		return errFinished
	}
	if sig == unix.SIGKILL {
		return c.cgroup.Kill()
	}
	return c.cgroup.Signal(sig)
}
