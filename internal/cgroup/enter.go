// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Enter moves the calling OS thread into the container's v1 cgroups, so that a child
// cloned from it is born there. The thread must be locked, must not be the main thread and
// must be thrown away afterwards, by ending its goroutine without unlocking. On cgroup v2 it
// does nothing: use FD. On error the thread may have moved in part and must be thrown away too.
//
// A container that is frozen is refused with ErrFailedPrecondition.
//
// Writing "0" to "tasks" concerns one thread only and needs no threadgroup lock (Linux
// 5.17; before that it is merely slower), while a pid in cgroup.procs makes the writer
// wait for an RCU grace period.
func (c *Cgroup) Enter() error {
	if !c.gate.enter() {
		return fmt.Errorf("cgroup: /%s is being frozen: %w", c.path, errdefs.ErrFailedPrecondition)
	}
	defer c.gate.leave()
	return c.enterAll(false)
}

// enterAll is called inside the gate.
func (c *Cgroup) enterAll(exceptCPU bool) error {
	if c.NeedsAttach() || len(c.host.v1) == 0 {
		return nil
	}
	if unix.Gettid() == os.Getpid() {
		// The Go runtime never ends the main thread: the daemon would stay in the
		// container's cgroups, which could not be removed any more.
		return errors.New("cgroup: enter: called on the main thread")
	}
	for _, h := range c.host.v1 {
		if exceptCPU && h.has("cpu") {
			continue
		}
		if err := c.enter(h); err != nil {
			return fmt.Errorf("cgroup: enter: %w", enterError(err))
		}
	}
	return nil
}

func (c *Cgroup) enter(h *hierarchy) error {
	if h.has("freezer") {
		return c.enterFreezer(h)
	}
	return h.write(c.path+"/tasks", "0")
}

// enterFreezer. A frozen thread of the daemon could not be stopped for garbage collection and
// would hang the whole daemon, so a thread enters only while nothing freezes the cgroup,
// and Freeze waits until the threads that have entered are gone.
func (c *Cgroup) enterFreezer(h *hierarchy) error {
	if h.frozenEffectively(c.path) {
		return fmt.Errorf("%s is frozen: %w", h.path(c.path), errdefs.ErrFailedPrecondition)
	}
	return h.write(c.path+"/tasks", "0")
}

func enterError(err error) error {
	if errors.Is(err, unix.ENOSPC) {
		// cpuset refuses tasks while it has no cpus or no memory nodes.
		return fmt.Errorf("%w (cpuset.cpus or cpuset.mems is empty: %w)", err, errdefs.ErrFailedPrecondition)
	}
	return err
}
