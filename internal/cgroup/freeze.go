// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

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
	h := c.host.v1Of("freezer")
	if h == nil {
		return c.setFreezer(cgroups.Frozen) // says why not
	}
	if _, err := h.awaitOwnThreads(ctx, c.path); err != nil {
		return err
	}
	err := h.freeze(ctx, c.path)
	if err != nil {
		err = errors.Join(err, c.setFreezer(cgroups.Thawed))
	}
	return err
}

// freezeTime bounds a freeze on cgroup v1. One who waits for a processor, on a busy node or behind a quota, stands still
// no sooner than he gets it.
const freezeTime = 10 * time.Second

// firstFreeze is the time after which those who stand still are let go for the first time.
const firstFreeze = 50 * time.Millisecond

// freeze stops all in rel, a cgroup of the v1 freezer. Some may have to be let go for the others' sake: who stands still
// does not end, and an exec waits for the end of other threads. Each time they are given twice as long.
func (h *hierarchy) freeze(ctx context.Context, rel string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, freezeTime,
		fmt.Errorf("%s: not all processes stand still: %w", h.path(rel), errdefs.ErrUnavailable))
	defer cancel()
	for patience := firstFreeze; ; patience *= 2 {
		frozen, err := h.freezeWithin(ctx, rel, patience)
		if frozen || err != nil {
			return err
		}
		if err := h.write(rel+"/freezer.state", "THAWED"); err != nil {
			return err
		}
	}
}

// freezeWithin is one attempt. It asks again and again, as v1 tells nobody when all stand still, and says it anew each time, for
// who has come meanwhile.
func (h *hierarchy) freezeWithin(ctx context.Context, rel string, patience time.Duration) (frozen bool, err error) {
	const first, longest = 20 * time.Microsecond, 5 * time.Millisecond
	over := time.After(patience)
	for pause := first; ; pause = min(2*pause, longest) {
		if err := h.write(rel+"/freezer.state", "FROZEN"); err != nil {
			return false, err
		}
		state, err := h.read(rel + "/freezer.state")
		if err != nil || strings.TrimSpace(state) == "FROZEN" {
			return err == nil, err
		}
		select {
		case <-time.After(pause):
		case <-over:
			return false, nil
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
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
