// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// OpenRoot returns an O_PATH descriptor of the root directory that the first process has: that of its mount namespace,
// unless it has changed it by chroot(2). ErrNotFound when the process has ended. It may take as
// long as the file system does.
func (c *Container) OpenRoot() (*os.File, error) {
	root, err := kernel.Open("/proc/"+strconv.Itoa(c.Pid())+"/root", unix.O_PATH|unix.O_DIRECTORY, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return nil, fmt.Errorf("container %s: %w", c.key, errFinished)
	}
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", c.key, err)
	}
	if err := c.exists(); err != nil { // then the number may have been another process's
		root.Close()
		return nil, err
	}
	return root, nil
}

// exists returns ErrNotFound when the first process was reaped: its number stands for it until then.
func (c *Container) exists() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.init.signal(0); err != nil {
		return fmt.Errorf("container %s: %w", c.key, err)
	}
	return nil
}

// Alive returns ErrNotFound when the first process has ended, a zombie included, and ErrFailedPrecondition when it is frozen.
func (c *Container) Alive() error {
	stat, err := kernel.ReadProcStat(c.Pid())
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("container %s: %w", c.key, err)
	}
	if err != nil || stat.Zombie() {
		return fmt.Errorf("container %s: %w", c.key, errFinished)
	}
	frozen, err := c.cgroup.FrozenOf(c.Pid())
	if ended := c.exists(); ended != nil {
		return ended
	}
	if err != nil {
		return fmt.Errorf("container %s: %w", c.key, err)
	}
	if frozen {
		return fmt.Errorf("container %s: the process is frozen: %w", c.key, errdefs.ErrFailedPrecondition)
	}
	return nil
}
