// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/launch"
	"github.com/sardine-run/sardine/internal/plan"
)

// translation is one spec on its way to a Request.
type translation struct {
	spec     *specs.Spec
	linux    specs.Linux // never nil, unlike spec.Linux
	opts     *Options
	spaces   namespaces
	req      *launch.Request
	plan     *plan.Plan
	warnings []string
}

// Translate makes the Request for the first process of a container. The warnings
// tell what was left out because this host or its kernel cannot do it; the container
// runs without. spec is not changed and not kept.
func Translate(spec *specs.Spec, opts Options) (*launch.Request, []string, error) {
	t := newTranslation(spec, &opts)
	steps := []func() error{
		t.version, t.refusals, t.namespaces, t.idMaps, t.names, t.timeOffsets,
		t.root, t.mounts, t.devices, t.links, t.paths, t.sysctls, t.hooks, t.firstProcess,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, nil, fmt.Errorf("spec of container %q: %w", opts.ID, err)
		}
	}
	return t.req, t.warnings, nil
}

func newTranslation(spec *specs.Spec, opts *Options) *translation {
	p := &plan.Plan{JoinCgroup: plan.NoFD, JoinMount: plan.NoFD}
	t := &translation{spec: spec, opts: opts, plan: p, req: &launch.Request{Plan: p}}
	if spec.Linux != nil {
		t.linux = *spec.Linux
	}
	return t
}

func (t *translation) warn(format string, args ...any) {
	t.warnings = append(t.warnings, fmt.Sprintf(format, args...))
}

// version accepts every 1.x: minor versions only add (semver.org), and an addition
// that is not understood has a field of its own to be refused by.
func (t *translation) version() error {
	core, _, _ := strings.Cut(t.spec.Version, "-")
	numbers := strings.Split(core, ".")
	if len(numbers) != 3 {
		return invalid("ociVersion: %q is not a semantic version", t.spec.Version)
	}
	for _, n := range numbers {
		if _, err := strconv.ParseUint(n, 10, 32); err != nil {
			return invalid("ociVersion: %q is not a semantic version", t.spec.Version)
		}
	}
	if numbers[0] != "1" {
		return unsupported("ociVersion: %q; versions 1.x are understood", t.spec.Version)
	}
	return nil
}

// refusals are parts of the spec that are never ignored silently.
func (t *translation) refusals() error {
	if t.spec.VM != nil {
		return unsupported("vm: this runtime starts no virtual machines; choose another runtime name")
	}
	if t.linux.IntelRdt != nil {
		return unsupported("linux.intelRdt: cache and memory bandwidth allocation is not done; remove the field")
	}
	if len(t.linux.NetDevices) > 0 {
		return unsupported("linux.netDevices: network devices are not moved into containers; use a CNI plugin (host-device)")
	}
	if t.linux.MemoryPolicy != nil {
		return unsupported("linux.memoryPolicy: NUMA policies are not set; use linux.resources.cpu.mems")
	}
	if t.opts.NoPivotRoot {
		t.warn("no_pivot_root is ignored: the root is a mount of its own and pivot_root always works")
	}
	return nil
}

// names sets hostname and domainname.
func (t *translation) names() error {
	if err := t.checkName("hostname", t.spec.Hostname); err != nil {
		return err
	}
	if err := t.checkName("domainname", t.spec.Domainname); err != nil {
		return err
	}
	t.plan.Hostname, t.plan.Domainname = t.spec.Hostname, t.spec.Domainname
	return nil
}

func (t *translation) checkName(field, name string) error {
	const maxName = 64 // __NEW_UTS_LEN, bytes
	switch {
	case name == "":
		return nil
	case !t.spaces.has(unix.CLONE_NEWUTS):
		return invalid("%s: %q needs a uts namespace, or it would be the host's", field, name)
	case len(name) > maxName:
		return invalid("%s: %q is longer than %d bytes", field, name, maxName)
	}
	return checkText(field, name)
}

// paths takes over masked and read-only paths.
func (t *translation) paths() error {
	if err := checkAllAbsolute("linux.maskedPaths", t.linux.MaskedPaths); err != nil {
		return err
	}
	if err := checkAllAbsolute("linux.readonlyPaths", t.linux.ReadonlyPaths); err != nil {
		return err
	}
	t.plan.Masked, t.plan.Readonly = t.linux.MaskedPaths, t.linux.ReadonlyPaths
	return nil
}

func checkAllAbsolute(field string, paths []string) error {
	for _, path := range paths {
		if err := checkAbsolute(field, path); err != nil {
			return err
		}
	}
	return nil
}
