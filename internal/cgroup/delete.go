// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// deleteTimeout is how long Delete waits for dying processes when its context
// sets no deadline. On a busy node each of them may get no processor for seconds.
const deleteTimeout = 10 * time.Second

// Delete removes the cgroup with its sub-cgroups from every hierarchy. A cgroup that does
// not exist is deleted. Call Kill before: Delete waits for processes to be gone, until ctx
// is done or for 10 s, and then fails with ErrFailedPrecondition; ErrUnavailable once the Host is closed.
func (c *Cgroup) Delete(ctx context.Context) error {
	if c.unit != nil {
		return c.deleteUnit()
	}
	leave, err := c.host.enter()
	if err != nil {
		return fmt.Errorf("cgroup: delete /%s: %w", c.path, err)
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, deleteTimeout)
	defer cancel()
	busy, err := removeAll(c.host.all(), c.path)
	if err == nil && len(busy) > 0 {
		err = c.deleteBusy(ctx, busy)
	}
	if err != nil {
		return fmt.Errorf("cgroup: delete /%s: %w", c.path, err)
	}
	return nil
}

func (c *Cgroup) deleteUnit() error {
	m, err := c.unitManager(nil, nil)
	if err == nil {
		err = m.Destroy()
	}
	if err != nil {
		return fmt.Errorf("cgroup: delete systemd unit %s: %w", c.unit, err)
	}
	return nil
}

// deleteBusy removes the cgroup when what is in it has ended.
func (c *Cgroup) deleteBusy(ctx context.Context, busy []*hierarchy) error {
	for fruitless := 0; fruitless < fruitlessRounds; fruitless++ {
		some, errWait := c.awaitEmpty(ctx, busy)
		if some {
			fruitless = 0
		}
		var err error
		if busy, err = removeAll(busy, c.path); err != nil || len(busy) == 0 {
			return err
		}
		if errWait != nil {
			return c.stillBusy(errWait)
		}
		if c.unsure.Load() {
			if err := c.killFrozen(); err != nil && !gone(err) {
				return err
			}
		}
		runtime.Gosched()
	}
	return c.stillBusy(errors.New("it is in use, and not by a process"))
}

// fruitlessRounds is how often a removal that the kernel refuses is tried again though nobody is inside: since Linux 6.19 a task
// leaves its cgroup a few instructions after its end was told.
const fruitlessRounds = 1000

// awaitEmpty waits until those who are inside have ended, and reports whether there was somebody. Where there is a
// unified hierarchy the kernel says when the last one is gone; v1 has no such notification that works per cgroup.
func (c *Cgroup) awaitEmpty(ctx context.Context, busy []*hierarchy) (some bool, err error) {
	if last := busy[len(busy)-1]; last == c.host.unified {
		return false, dropGone(last.await(ctx, c.path, "populated 0"))
	}
	for _, h := range busy {
		inside, err := h.awaitTasks(ctx, c.path)
		if some = some || inside; err != nil {
			return some, err
		}
	}
	return some, nil
}

func (c *Cgroup) stillBusy(cause error) error {
	pids, _ := c.Pids()
	return fmt.Errorf("%w: processes %v are still inside; kill them first: %w", cause, pids, errdefs.ErrFailedPrecondition)
}

// removeAll removes rel from each hierarchy and returns those where it is in use.
func removeAll(hs []*hierarchy, rel string) (busy []*hierarchy, err error) {
	var errs []error
	for _, h := range hs {
		switch err := h.removeTree(rel); {
		case err == nil || gone(err):
		case errors.Is(err, unix.EBUSY):
			busy = append(busy, h)
		default:
			errs = append(errs, err)
		}
	}
	return busy, errors.Join(errs...)
}

// removeTree removes rel, and when that is refused its sub-cgroups first.
func (h *hierarchy) removeTree(rel string) error {
	err := h.rmdir(rel)
	if !errors.Is(err, unix.EBUSY) {
		return err
	}
	children, err2 := h.children(rel)
	if err2 != nil || len(children) == 0 {
		return errors.Join(err, dropGone(err2))
	}
	for _, child := range children {
		if err := h.removeTree(rel + "/" + child); err != nil && !gone(err) {
			return err
		}
	}
	return h.rmdir(rel)
}

// Prune removes the cgroup at path and everything below it that holds no process, such as
// DefaultParent when the daemon ends. What is in use stays.
func (h *Host) Prune(path string) error {
	rel, err := cleanPath(Config{Path: path})
	if err != nil {
		return err
	}
	for _, hier := range h.all() {
		hier.prune(rel)
	}
	return nil
}

func (h *hierarchy) prune(rel string) {
	children, _ := h.children(rel)
	for _, child := range children {
		h.prune(rel + "/" + child)
	}
	_ = h.rmdir(rel)
}
