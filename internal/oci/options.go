// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sardine-run/sardine/internal/plan"
	"github.com/sardine-run/sardine/internal/rootfs"
)

// Options are what the translation needs beside the spec.
type Options struct {
	ID     string
	Bundle string // absolute; relative paths of the spec start here

	// Rootfs are the mounts of the root file system from the snapshotter. When
	// empty, the spec's root.path is the root file system.
	Rootfs []rootfs.Mount

	// Trees are detached mounts that stand for the sources of bind mounts, by the
	// source's name in the spec.
	Trees map[string]*os.File

	Cgroup  Cgroup
	Host    Host
	Seccomp SeccompCompiler // nil: a spec with a seccomp profile is refused

	NoNewKeyring bool // leave the daemon's session keyring to the container
	NoPivotRoot  bool // ignored with a warning: the root is always changed by pivot_root
}

// Cgroup tells where the container's cgroup is, for mounts of type "cgroup".
type Cgroup struct {
	Unified bool   // pure cgroup v2
	Path    string // v2: the container's directory on the host
	// Hierarchies of v1 and hybrid: directory name below /sys/fs/cgroup ("cpu,cpuacct",
	// "systemd", "unified") and the host path of the container's directory.
	Hierarchies []plan.Pair
}

// SeccompCompiler makes a filter of a profile. It is implemented by the seccomp
// package; it is an interface here so that only the daemon needs libseccomp.
type SeccompCompiler interface {
	Compile(profile *specs.LinuxSeccomp) (*plan.Seccomp, error)
}
