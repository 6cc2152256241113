// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// deleteTimeout is how long Delete waits for dying processes when its context
// sets no deadline.
const deleteTimeout = 5 * time.Second

// Delete removes the cgroup with its sub-cgroups from every hierarchy. A cgroup that does
// not exist is deleted. Call Kill before: Delete waits for processes to be gone, until ctx
// is done or for 5 s, and then fails with ErrFailedPrecondition.
func (c *Cgroup) Delete(ctx context.Context) error {
	if c.unit != nil {
		return c.deleteUnit()
	}
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

// deleteBusy repeats the removal while processes are on their way out. Where there is a
// unified hierarchy the kernel says when the last one is gone; v1 has no such
// notification that works per cgroup, so what remains is asked for again.
func (c *Cgroup) deleteBusy(ctx context.Context, busy []*hierarchy) (err error) {
	if u := c.host.unified; u != nil && busy[len(busy)-1] == u {
		if err := u.await(ctx, c.path, "populated 0"); err != nil && !gone(err) {
			return c.stillBusy(err)
		}
	}
	for delay := 100 * time.Microsecond; ; delay = min(2*delay, 20*time.Millisecond) {
		if busy, err = removeAll(busy, c.path); err != nil || len(busy) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return c.stillBusy(ctx.Err())
		case <-time.After(delay):
		}
	}
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
