// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Kill sends SIGKILL to every process of the container, those included that fork meanwhile.
// It does not wait for them to be gone, and succeeds when there are none.
func (c *Cgroup) Kill() error {
	err := c.kill()
	if err != nil && !gone(err) {
		return fmt.Errorf("cgroup: kill /%s: %w", c.path, err)
	}
	return nil
}

func (c *Cgroup) kill() error {
	if c.host.unified == nil {
		return c.killFrozen()
	}
	err := c.host.unified.write(c.path+"/cgroup.kill", "1")
	switch {
	case errors.Is(err, unix.ENOENT) && c.host.unified.exists(c.path):
		return c.killFrozen() // before Linux 5.14
	case c.host.mode == Hybrid:
		return errors.Join(c.killStrays(), dropGone(err))
	}
	return err
}

// killStrays kills what is in the container's v1 cgroups and not in the unified one:
// a process may move between hierarchies independently. A frozen v1 cgroup does
// not hold up SIGKILL, but it delays it until the thaw.
func (c *Cgroup) killStrays() error {
	h := c.host.processes()
	all, err := h.others(c.path)
	if err != nil {
		return dropGone(err)
	}
	inside, err := c.host.unified.pids(c.path)
	if err != nil && !gone(err) {
		return err
	}
	if slices.ContainsFunc(all, func(pid int) bool { return !slices.Contains(inside, pid) }) {
		return c.killFrozen()
	}
	if h := c.host.freezer(); h != nil && h.frozen(c.path) {
		return c.Thaw()
	}
	return nil
}

// holdTime bounds the wait for everything to hold still before it is killed.
const holdTime = 100 * time.Millisecond

// killFrozen kills where the kernel has no cgroup.kill: it freezes the cgroup so that nothing forks, signals and thaws it.
//
// What is to be frozen does not get back to its program, nor does a child of it get to its own. So where not everything has come
// to a stop, as with a process that is stuck in the kernel, only forks that were under way can have added
// somebody, once: those are found by the second look. Should one of them have been slower than that, Delete finds it.
func (c *Cgroup) killFrozen() error {
	c.unsure.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), holdTime)
	defer cancel()
	still := c.holdStill(ctx)
	err := c.killListed()
	if !still {
		err = errors.Join(err, c.killListed())
	}
	if c.host.freezer() != nil {
		err = errors.Join(err, c.Thaw())
	}
	return err
}

// killListed kills the processes that are listed now.
func (c *Cgroup) killListed() error {
	h := c.host.processes()
	pids, err := h.others(c.path)
	if err != nil {
		return err
	}
	return h.signal(c.path, pids, unix.SIGKILL)
}

// holdStill begins to freeze and reports whether all stand still. Whether or not they do, Thaw must follow.
func (c *Cgroup) holdStill(ctx context.Context) bool {
	defer c.gate.open()
	if c.gate.close(ctx) != nil {
		return false
	}
	h := c.host.freezer()
	switch {
	case h == nil:
		return false
	case h.Unified():
		return h.write(c.path+"/cgroup.freeze", "1") == nil && h.await(ctx, c.path, "frozen 1") == nil
	}
	if _, err := h.awaitOwnThreads(ctx, c.path); err != nil {
		return false
	}
	if h.write(c.path+"/freezer.state", "FROZEN") != nil {
		return false
	}
	state, err := h.read(c.path + "/freezer.state")
	return err == nil && strings.TrimSpace(state) == "FROZEN"
}

// Signal sends sig to every process of the container that exists now.
// For SIGKILL use Kill, which misses none.
func (c *Cgroup) Signal(sig unix.Signal) error {
	h := c.host.processes()
	pids, err := h.others(c.path)
	if err == nil {
		err = h.signal(c.path, pids, sig)
	}
	if err != nil && !gone(err) {
		return fmt.Errorf("cgroup: signal %d to /%s: %w", sig, c.path, err)
	}
	return nil
}

// signal sends sig to those of pids that are in rel.
func (h *hierarchy) signal(rel string, pids []int, sig unix.Signal) error {
	inside, err := h.hold(rel, pids)
	defer inside.close()
	if err != nil {
		return dropGone(err)
	}
	return inside.signal(sig)
}

// dropGone treats a cgroup that does not exist as success.
func dropGone(err error) error {
	if gone(err) {
		return nil
	}
	return err
}
