// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/launch"
	"github.com/sardine-run/sardine/internal/plan"
)

// namespaces are the namespaces a container has apart from the host: CLONE_NEW* flag
// to path, "" for a new one.
type namespaces map[uintptr]string

func (n namespaces) has(flag uintptr) bool {
	_, ok := n[flag]
	return ok
}

func (n namespaces) isNew(flag uintptr) bool {
	path, ok := n[flag]
	return ok && path == ""
}

func namespaceFlag(t specs.LinuxNamespaceType) uintptr {
	switch t {
	case specs.PIDNamespace:
		return unix.CLONE_NEWPID
	case specs.NetworkNamespace:
		return unix.CLONE_NEWNET
	case specs.MountNamespace:
		return unix.CLONE_NEWNS
	case specs.IPCNamespace:
		return unix.CLONE_NEWIPC
	case specs.UTSNamespace:
		return unix.CLONE_NEWUTS
	case specs.UserNamespace:
		return unix.CLONE_NEWUSER
	case specs.CgroupNamespace:
		return unix.CLONE_NEWCGROUP
	case specs.TimeNamespace:
		return unix.CLONE_NEWTIME
	}
	return 0
}

// namespaces sorts the spec's namespaces into those to be made and those to be joined.
func (t *translation) namespaces() error {
	t.spaces = namespaces{}
	for _, ns := range t.linux.Namespaces {
		flag := namespaceFlag(ns.Type)
		if flag == 0 {
			return invalid("linux.namespaces: unknown type %q", ns.Type)
		}
		if t.spaces.has(flag) {
			return invalid("linux.namespaces: %q is listed twice", ns.Type)
		}
		if ns.Path != "" {
			if err := checkNamespacePath(ns); err != nil {
				return err
			}
		}
		t.spaces[flag] = ns.Path
	}
	if !t.spaces.has(unix.CLONE_NEWNS) {
		return unsupported("linux.namespaces: a mount namespace is required; a container in the host's mount namespace is not supported")
	}
	if t.spaces[unix.CLONE_NEWNS] != "" {
		return unsupported("linux.namespaces: joining the mount namespace %q is not supported; leave the path out", t.spaces[unix.CLONE_NEWNS])
	}
	if t.spaces[unix.CLONE_NEWUSER] != "" && t.spaces[unix.CLONE_NEWTIME] != "" {
		return unsupported("linux.namespaces: joining both a user and a time namespace by path is not supported")
	}
	t.requestNamespaces()
	return nil
}

func checkNamespacePath(ns specs.LinuxNamespace) error {
	if err := checkAbsolute("linux.namespaces: path of "+string(ns.Type), ns.Path); err != nil {
		return err
	}
	_, err := os.Stat(ns.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return notFound("linux.namespaces: %s namespace %q does not exist", ns.Type, ns.Path)
	}
	if err != nil {
		return invalid("linux.namespaces: %s namespace: %v", ns.Type, err)
	}
	return nil
}

// requestNamespaces hands them to those who make them: clone, sardine-init for the
// cgroup and the time namespace, the launcher's thread for joining.
func (t *translation) requestNamespaces() {
	for _, flag := range slices.Sorted(maps.Keys(t.spaces)) {
		path := t.spaces[flag]
		switch {
		case path != "":
			t.req.Namespaces.Join = append(t.req.Namespaces.Join, launch.Join{Flag: flag, Path: path})
		case flag == unix.CLONE_NEWCGROUP:
			t.plan.UnshareCgroup = true
		case flag != unix.CLONE_NEWTIME: // see timeOffsets
			t.req.Namespaces.New |= flag
		}
	}
}

// timeOffsets sets the clocks of a new time namespace; without offsets both are
// named with 0, which is how the Plan asks for the namespace.
func (t *translation) timeOffsets() error {
	if len(t.linux.TimeOffsets) > 0 && !t.spaces.isNew(unix.CLONE_NEWTIME) {
		return invalid("linux.timeOffsets: needs a time namespace without a path")
	}
	for clock := range t.linux.TimeOffsets {
		if clock != "monotonic" && clock != "boottime" {
			return invalid("linux.timeOffsets: unknown clock %q, want monotonic or boottime", clock)
		}
	}
	if !t.spaces.isNew(unix.CLONE_NEWTIME) {
		return nil
	}
	if !t.opts.Host.TimeAtExec {
		return unsupported("linux.namespaces: a new time namespace needs Linux %s", timeAtExec)
	}
	for _, clock := range []string{"monotonic", "boottime"} {
		o := t.linux.TimeOffsets[clock]
		if o.Nanosecs > 999_999_999 {
			return invalid("linux.timeOffsets: %s: %d nanoseconds are more than a second", clock, o.Nanosecs)
		}
		t.plan.TimeOffsets = append(t.plan.TimeOffsets, plan.TimeOffset{Clock: clock, Seconds: o.Secs, Nanos: o.Nanosecs})
	}
	return nil
}
