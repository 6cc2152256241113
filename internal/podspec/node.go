// SPDX-License-Identifier: Apache-2.0

package podspec

import "github.com/opencontainers/runtime-spec/specs-go"

// Node is what holds for all containers: facts of the host and configuration.
type Node struct {
	Unified       bool // pure cgroup v2
	SystemdCgroup bool // the pod cgroup parents are slices
	AppArmor      bool // the host has it and the configuration does not disable it
	SELinux       bool // the same
	SELinuxRange  int  // upper bound of categories, 0: the library's
	Hugetlb, Swap bool // cgroup controllers are there
	// RecursiveReadOnly: the kernel has mount_setattr(2), Linux 5.12.
	RecursiveReadOnly bool
	// CgroupMountOptions are those of the host's cgroup2 mount. A container without a
	// cgroup namespace shares its superblock and must name them, or they are lost.
	CgroupMountOptions []string
	// BoundingCaps are the daemon's own capabilities (CAP_...), what "ALL" means.
	BoundingCaps []string
	OOMScoreAdj  int // of the daemon

	// Settings of containerd's CRI configuration.
	UnsetSeccompProfile     string
	RestrictOOMScoreAdj     bool
	TolerateMissingHugetlb  bool
	DisableHugetlb          bool
	DeviceOwnership         bool // device_ownership_from_security_context
	IgnoreImageVolumes      bool
	DisableProcMount        bool
	EnableUnprivilegedPorts bool
	EnableUnprivilegedICMP  bool
	IgnoreRDT               bool     // ignore_rdt_not_enabled_errors
	IgnoreBlockIO           bool     // ignore_blockio_not_enabled_errors
	CDISpecDirs             []string // empty: no CDI

	Host Host // functions that are nil are those of LocalHost
}

// Handler is what the configuration says of a runtime handler.
type Handler struct {
	PodAnnotations, ContainerAnnotations []string // patterns, path.Match
	PrivilegedWithoutHostDevices         bool
	PrivilegedAllDevicesAllowed          bool // without the devices, if they are left out
	CgroupWritable                       bool
	BaseSpec                             *specs.Spec // nil: the default
}
