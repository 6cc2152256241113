// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs"
)

// Freeze stops all processes of the container and returns when they are stopped.
// It waits for births under way and for threads that have entered and not ended yet.
// On error, ctx's included, nothing is frozen.
func (c *Cgroup) Freeze(ctx context.Context) error {
	defer c.gate.open()
	err := c.gate.close(ctx)
	switch {
	case err != nil:
	case c.host.mode == Unified:
		err = c.freezeUnified(ctx)
	default:
		err = c.freezeV1(ctx)
	}
	if err != nil {
		return fmt.Errorf("cgroup: freeze /%s: %w", c.path, err)
	}
	return nil
}

// Thaw lets them run again. It does nothing when they are not frozen.
func (c *Cgroup) Thaw() error {
	var err error
	if c.host.mode == Unified {
		err = c.host.unified.write(c.path+"/cgroup.freeze", "0")
	} else {
		err = c.setFreezer(cgroups.Thawed)
	}
	if err != nil {
		return fmt.Errorf("cgroup: thaw /%s: %w", c.path, err)
	}
	return nil
}

// Frozen reports whether Freeze was called on this cgroup; one that is only frozen
// together with an ancestor is not.
func (c *Cgroup) Frozen() (bool, error) {
	h := c.host.freezer()
	if h == nil {
		return false, nil
	}
	frozen, err := h.freezing(c.path)
	if err != nil {
		return false, fmt.Errorf("cgroup: %w", err)
	}
	return frozen, nil
}

func (h *Host) freezer() *hierarchy {
	if h.mode == Unified {
		return h.unified
	}
	return h.v1Of("freezer")
}

// frozen is false where rel has no freezer at all.
func (h *hierarchy) frozen(rel string) bool {
	frozen, err := h.freezing(rel)
	return err == nil && frozen
}

func (h *hierarchy) freezing(rel string) (bool, error) {
	file := "/cgroup.freeze"
	if !h.Unified() {
		file = "/freezer.self_freezing"
	}
	state, err := h.read(rel + file)
	return strings.TrimSpace(state) == "1", err
}

func (c *Cgroup) freezeV1(ctx context.Context) error {
	if h := c.host.v1Of("freezer"); h != nil {
		if _, err := h.awaitOwnThreads(ctx, c.path); err != nil {
			return err
		}
	}
	return c.setFreezer(cgroups.Frozen)
}

func (c *Cgroup) setFreezer(state cgroups.FreezerState) error {
	h := c.host.v1Of("freezer")
	if h == nil {
		return fmt.Errorf("this host has no freezer controller: %w", errdefs.ErrNotImplemented)
	}
	return new(fs.FreezerGroup).Set(h.path(c.path), &cgroups.Resources{Freezer: state})
}

func (c *Cgroup) freezeUnified(ctx context.Context) error {
	h := c.host.unified
	if err := h.write(c.path+"/cgroup.freeze", "1"); err != nil {
		return err
	}
	err := h.await(ctx, c.path, "frozen 1")
	if err != nil {
		err = errors.Join(err, h.write(c.path+"/cgroup.freeze", "0"))
	}
	return err
}
