// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"maps"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// Features says which parts of the specification are translated: features.md and
// features-linux.md. The seccomp package knows its own part.
func Features(seccomp *features.Seccomp) *features.Features {
	yes, no := new(true), new(false)
	return &features.Features{
		OCIVersionMin: "1.0.0",
		OCIVersionMax: specs.Version,
		Hooks:         []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"},
		MountOptions:  mountOptionNames(),
		Linux: &features.Linux{
			Namespaces:      []string{"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"},
			Capabilities:    capabilityNames[:],
			Cgroup:          &features.Cgroup{V1: yes, V2: yes, Systemd: yes, SystemdUser: no, Rdma: yes},
			Seccomp:         seccomp,
			Apparmor:        &features.Apparmor{Enabled: yes},
			Selinux:         &features.Selinux{Enabled: yes},
			IntelRdt:        &features.IntelRdt{Enabled: no},
			MountExtensions: &features.MountExtensions{IDMap: &features.IDMap{Enabled: yes}},
			NetDevices:      &features.NetDevices{Enabled: no},
		},
	}
}

// mountOptionNames are all options that parseMountOptions knows, sorted.
func mountOptionNames() []string {
	names := append([]string{"bind", "rbind", "tmpcopyup", "idmap", "ridmap"}, ignored...)
	names = slices.AppendSeq(names, maps.Keys(propagations))
	for flag, opposite := range superFlags {
		names = append(names, flag)
		if opposite != "" {
			names = append(names, opposite)
		}
	}
	for _, table := range []map[string]attribute{attributes, accessTimes} {
		for name := range table {
			names = append(names, name, "r"+name)
		}
	}
	slices.Sort(names)
	return names
}
