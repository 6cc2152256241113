// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"time"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"
)

// NeedsAttach reports that the first process can only be put into the cgroup after its
// clone: the systemd driver, until Attach has succeeded.
func (c *Cgroup) NeedsAttach() bool {
	return c.unit != nil && c.pending != nil && !c.pending.attached
}

// Attach puts the process pid into the cgroup.
//
// With the systemd driver the first call starts the transient unit with that process and
// sets the limits, so it must come before the process runs anything that matters; on error
// the unit is stopped again. Otherwise it is the fallback for kernels without
// CLONE_INTO_CGROUP (before Linux 5.7): hierarchies the process is already in are skipped,
// the others cost an RCU grace period each.
func (c *Cgroup) Attach(pid int) error {
	if c.NeedsAttach() {
		return c.startUnit(pid)
	}
	return c.attachTo(pid, c.path)
}

// attachTo moves pid into the container's v1 cgroups and into the unified one named.
func (c *Cgroup) attachTo(pid int, unified string) error {
	in, err := cgroups.ParseCgroupFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return fmt.Errorf("cgroup: attach process %d: %w", pid, err)
	}
	for _, h := range c.host.all() {
		rel := c.path
		if h.Unified() {
			rel = unified
		}
		if in[h.name()] == path.Join(h.Root, rel) {
			continue
		}
		if err := h.attach(rel, pid); err != nil {
			return fmt.Errorf("cgroup: attach process %d: %w", pid, err)
		}
	}
	return nil
}

// name of the hierarchy in /proc/PID/cgroup, as ParseCgroupFile gives it.
func (h *hierarchy) name() string {
	if h.Unified() {
		return ""
	}
	return h.Controllers[0]
}

// attachAttempts bounds the repetition while a just cloned task is not attachable yet.
const attachAttempts = 5

func (h *hierarchy) attach(rel string, pid int) (err error) {
	for range attachAttempts {
		err = h.write(rel+"/cgroup.procs", strconv.Itoa(pid))
		if !errors.Is(err, unix.EINVAL) {
			return err
		}
		// The kernel says EINVAL while the task is in state TASK_NEW.
		time.Sleep(10 * time.Millisecond)
	}
	return err
}
