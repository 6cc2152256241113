// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs"
	"github.com/opencontainers/cgroups/fs2"
	"golang.org/x/sys/unix"
)

// Create makes the cgroup in every hierarchy and sets the limits, before any process
// is inside. An existing cgroup is taken over when it is empty; with processes in it the
// error is ErrAlreadyExists, and ErrFailedPrecondition when it is frozen. On error the
// directories made by this call are gone again.
//
// With the systemd driver a scope cannot exist without a process, so Create only
// checks that there is none of that name; Attach does the rest.
func (c *Cgroup) Create() error {
	if c.unit != nil {
		return c.checkVacant()
	}
	leave, err := c.host.enter()
	if err != nil {
		return fmt.Errorf("cgroup: create /%s: %w", c.path, err)
	}
	defer leave()
	var made created
	if err := c.create(&made); err != nil {
		made.remove()
		return fmt.Errorf("cgroup: create /%s: %w", c.path, err)
	}
	return nil
}

func (c *Cgroup) create(made *created) error {
	for _, h := range c.host.all() {
		if err := made.mkdirAll(h, c.path); err != nil {
			return err
		}
		if !made.leaf(h, c.path) {
			if err := vacant(h, c.path); err != nil {
				return err
			}
		}
	}
	if c.host.mode == Unified {
		c.host.enableControllers(c.path)
	}
	return c.setInitial(made)
}

// setInitial sets limits and device rules of a cgroup that holds no process.
func (c *Cgroup) setInitial(made *created) error {
	r := c.pending.resources
	if err := c.setDevices(r, made); err != nil {
		return err
	}
	if !limits(r) {
		return c.inheritCpuset()
	}
	rest := *r
	rest.SkipDevices = true
	if err := c.set(&rest); err != nil {
		return err
	}
	return c.inheritCpuset()
}

// set writes the values that r holds. It may change r.
func (c *Cgroup) set(r *cgroups.Resources) error {
	m, err := c.manager(r)
	if err != nil {
		return err
	}
	return limitError(m.Set(r))
}

func (c *Cgroup) manager(r *cgroups.Resources) (cgroups.Manager, error) {
	cfg := &cgroups.Cgroup{Resources: r}
	if c.host.mode == Unified {
		return fs2.NewManager(cfg, c.host.unified.path(c.path))
	}
	return fs.NewManager(cfg, c.v1Paths())
}

// limitError gives a refused value its class.
func limitError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ERANGE), errors.Is(err, unix.EACCES), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("resource limit refused by the kernel: %w: %w", err, errdefs.ErrInvalidArgument)
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("resource limit not known to this kernel: %w: %w", err, errdefs.ErrFailedPrecondition)
	}
	return fmt.Errorf("set resource limits: %w", err)
}

// checkVacant refuses a cgroup that has processes or is frozen.
func (c *Cgroup) checkVacant() error {
	if err := vacant(c.host.processes(), c.path); err != nil {
		return fmt.Errorf("cgroup: create unit %s: %w", c.unit, err)
	}
	return nil
}

func vacant(h *hierarchy, rel string) error {
	pids, err := h.pids(rel)
	switch {
	case gone(err):
		return nil
	case err != nil:
		return err
	case len(pids) > 0:
		return fmt.Errorf("%s holds %d processes of another container or a leftover of one: %w", h.path(rel), len(pids), errdefs.ErrAlreadyExists)
	case h.frozen(rel):
		return fmt.Errorf("%s is frozen; thaw or remove it: %w", h.path(rel), errdefs.ErrFailedPrecondition)
	}
	return nil
}

// created remembers directories in the order they were made.
type created []madeDir

type madeDir struct {
	h   *hierarchy
	rel string
}

// mkdirAttempts bounds the repetition when a concurrent removal of another
// container's cgroup takes the parent away.
const mkdirAttempts = 16

// mkdirAll makes rel and its missing parents.
func (m *created) mkdirAll(h *hierarchy, rel string) (err error) {
	for range mkdirAttempts {
		err = h.mkdir(rel)
		switch {
		case err == nil:
			*m = append(*m, madeDir{h, rel})
			return nil
		case errors.Is(err, unix.EEXIST):
			return nil
		case !gone(err) || !strings.Contains(rel, "/"):
			return mkdirError(err)
		}
		if err := m.mkdirParent(h, path.Dir(rel)); err != nil && !gone(err) {
			return err
		}
	}
	return err
}

func (m *created) mkdirParent(h *hierarchy, rel string) error {
	n := len(*m)
	if err := m.mkdirAll(h, rel); err != nil || len(*m) == n {
		return err
	}
	return prepareParent(h, rel)
}

func mkdirError(err error) error {
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("%w (cgroup.max.descendants, cgroup.max.depth or the kernel's number of memory cgroups is exhausted): %w", err, errdefs.ErrResourceExhausted)
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: %w", err, errdefs.ErrPermissionDenied)
	}
	return err
}

// leaf reports whether the directory rel of h was made by this call.
func (m *created) leaf(h *hierarchy, rel string) bool {
	return slices.Contains(*m, madeDir{h, rel})
}

// remove takes the directories away again, deepest first. One that another container
// has put something into meanwhile stays.
func (m *created) remove() {
	for _, dir := range slices.Backward(*m) {
		_ = dir.h.rmdir(dir.rel)
	}
}

// enableControllers turns on every controller for rel in its ancestors. What cannot be
// enabled is reported later by the limit that needs it.
func (h *Host) enableControllers(rel string) {
	data, err := h.unified.read(rel + "/cgroup.controllers")
	if err != nil || len(strings.Fields(data)) >= len(h.controllers) {
		return
	}
	h.enableIn(".")
	for i, char := range rel {
		if char == '/' {
			h.enableIn(rel[:i])
		}
	}
}

func (h *Host) enableIn(rel string) {
	file := rel + "/cgroup.subtree_control"
	if h.unified.write(file, "+"+strings.Join(h.controllers, " +")) == nil {
		return
	}
	// The write is all or nothing: one controller that is not delegated
	// to us must not take the others away.
	for _, name := range h.controllers {
		_ = h.unified.write(file, "+"+name)
	}
}
