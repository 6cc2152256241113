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
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == Stopped || c.state == Deleted {
		return errFinished
	}
	switch {
	case !all:
		return c.init.signal(sig)
	case sig == unix.SIGKILL:
		return c.cgroup.Kill()
	default:
		return c.cgroup.Signal(sig)
	}
}
