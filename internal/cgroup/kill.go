// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sardine-run/sardine/internal/kernel"
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
	strays := slices.DeleteFunc(all, func(pid int) bool { return slices.Contains(inside, pid) })
	if err := h.signal(c.path, strays, unix.SIGKILL); err != nil {
		return err
	}
	if h := c.host.freezer(); h != nil && h.frozen(c.path) {
		return c.Thaw()
	}
	return nil
}

// killRounds bounds killFrozen against a fork bomb that cannot be frozen.
const killRounds = 10

// killFrozen freezes the cgroup so that nothing forks, signals and thaws it. While a process
// is stuck in the kernel the freezer cannot finish, others may fork, and it is done again.
func (c *Cgroup) killFrozen() error {
	h := c.host.processes()
	for round := range killRounds {
		frozen := c.freezeToKill() == nil
		pids, err := h.others(c.path)
		if err == nil {
			err = h.signal(c.path, pids, unix.SIGKILL)
		}
		if c.host.freezer() != nil {
			err = errors.Join(err, c.Thaw())
		}
		if err != nil || frozen || len(pids) == 0 {
			return err
		}
		time.Sleep(time.Millisecond << round)
	}
	return fmt.Errorf("processes are still being forked after %d rounds", killRounds)
}

func (c *Cgroup) freezeToKill() error {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	return c.Freeze(ctx)
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

// signal sends sig to those of pids that are in rel. Between the listing and the signal a
// process may have died and its number gone to a stranger, so each is held by a
// pidfd first and must then still be listed.
func (h *hierarchy) signal(rel string, pids []int, sig unix.Signal) error {
	held := make(map[int]int, len(pids))
	defer func() {
		for _, fd := range held {
			unix.Close(fd)
		}
	}()
	for _, pid := range pids {
		fd, err := kernel.PidfdOpen(pid)
		switch {
		case err == nil:
			held[pid] = fd
		case !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.EINVAL):
			return err
		}
	}
	if len(held) == 0 {
		return nil
	}
	listed, err := h.pids(rel)
	if err != nil {
		return dropGone(err)
	}
	return signalHeld(held, listed, sig)
}

func signalHeld(held map[int]int, listed []int, sig unix.Signal) error {
	var errs []error
	for _, pid := range listed {
		fd, ok := held[pid]
		if !ok {
			continue
		}
		if err := kernel.PidfdSendSignal(fd, sig); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("process %d: %w", pid, err))
		}
	}
	return errors.Join(errs...)
}

// dropGone treats a cgroup that does not exist as success.
func dropGone(err error) error {
	if gone(err) {
		return nil
	}
	return err
}
