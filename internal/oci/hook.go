// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"path"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/plan"
)

// defaultPath is the environment of a hook that brings none: scripts need a PATH, and
// the daemon's own environment is nobody's business.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// hooks checks all six kinds and puts those that run inside into the Plan. The others
// are run by RunHooks and RunAllHooks.
func (t *translation) hooks() error {
	h := t.spec.Hooks
	if h == nil {
		return nil
	}
	if err := checkAllHooks(h); err != nil {
		return err
	}
	t.plan.HostHooks = len(HostHooks(h)) > 0
	t.plan.CreateHooks = planHooks(h.CreateContainer)
	t.plan.StartHooks = planHooks(h.StartContainer)
	if len(t.plan.CreateHooks)+len(t.plan.StartHooks) > 0 {
		state := func(status specs.ContainerState) []byte {
			return encodeState(State(t.spec, t.opts.ID, t.opts.Bundle, status, t.insidePid()))
		}
		t.plan.CreateState, t.plan.StartState = state(specs.StateCreating), state(specs.StateCreated)
	}
	return nil
}

// insidePid is the process's id as its hooks see it: the first of a new pid
// namespace, otherwise not known yet.
func (t *translation) insidePid() int {
	if t.spaces.isNew(unix.CLONE_NEWPID) {
		return 1
	}
	return 0
}

// HostHooks are the hooks to run, in this order, while the container's namespaces
// exist and its program does not run: deprecated prestart, then createRuntime.
func HostHooks(h *specs.Hooks) []specs.Hook {
	if h == nil {
		return nil
	}
	prestart := h.Prestart //nolint:staticcheck // deprecated and still required
	return append(prestart[:len(prestart):len(prestart)], h.CreateRuntime...)
}

func checkAllHooks(h *specs.Hooks) error {
	kinds := []struct {
		name  string
		hooks []specs.Hook
	}{
		{"prestart", h.Prestart}, //nolint:staticcheck // deprecated and still required
		{"createRuntime", h.CreateRuntime},
		{"createContainer", h.CreateContainer},
		{"startContainer", h.StartContainer},
		{"poststart", h.Poststart},
		{"poststop", h.Poststop},
	}
	for _, k := range kinds {
		for i := range k.hooks {
			if err := checkHook("hooks."+k.name, &k.hooks[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkHook(field string, h *specs.Hook) error {
	if !path.IsAbs(h.Path) {
		return invalid("%s: path %q is not absolute", field, h.Path)
	}
	if h.Timeout != nil && *h.Timeout <= 0 {
		return invalid("%s: timeout of %q is %d seconds; it must be positive", field, h.Path, *h.Timeout)
	}
	for _, s := range append(append([]string{h.Path}, h.Args...), h.Env...) {
		if err := checkText(field, s); err != nil {
			return err
		}
	}
	return nil
}

func planHooks(hooks []specs.Hook) []plan.Hook {
	var out []plan.Hook
	for i := range hooks {
		h := &hooks[i]
		p := plan.Hook{Path: h.Path, Args: hookArgs(h), Env: hookEnv(h)}
		if h.Timeout != nil {
			p.Timeout = int64(*h.Timeout)
		}
		out = append(out, p)
	}
	return out
}

func hookArgs(h *specs.Hook) []string {
	if len(h.Args) == 0 {
		return []string{h.Path}
	}
	return h.Args
}

func hookEnv(h *specs.Hook) []string {
	if h.Env == nil {
		return []string{defaultPath}
	}
	return h.Env
}
