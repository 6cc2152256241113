// SPDX-License-Identifier: Apache-2.0

package criplugin

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/pkg/apparmor"
	"github.com/containerd/containerd/v2/pkg/cap"
	"github.com/moby/sys/mountinfo"
	"github.com/opencontainers/cgroups"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/podspec"
)

// describeNode finds what holds for all containers.
func (b *builder) describeNode() (podspec.Node, error) {
	host, s := b.engine.Containers.Host, b.settings
	bounding, err := cap.Current()
	if err != nil {
		return podspec.Node{}, fmt.Errorf("capabilities of the daemon: %w", err)
	}
	score, err := oomScoreAdj()
	if err != nil {
		return podspec.Node{}, err
	}
	n := podspec.Node{
		Unified:           cgroups.IsCgroup2UnifiedMode(),
		SystemdCgroup:     b.systemdCgroup(),
		AppArmor:          apparmor.HostSupports() && !s.DisableApparmor,
		SELinux:           host.SELinux && s.EnableSelinux,
		SELinuxRange:      s.SelinuxCategoryRange,
		Hugetlb:           controllerThere("hugetlb"),
		RecursiveReadOnly: b.features.Has(kernel.FeatureMountSetattr),
		BoundingCaps:      bounding,
		OOMScoreAdj:       score,

		UnsetSeccompProfile:     s.UnsetSeccompProfile,
		RestrictOOMScoreAdj:     s.RestrictOOMScoreAdj,
		TolerateMissingHugetlb:  s.TolerateMissingHugetlbController,
		DisableHugetlb:          s.DisableHugetlbController,
		DeviceOwnership:         s.DeviceOwnershipFromSecurityContext,
		IgnoreImageVolumes:      s.IgnoreImageDefinedVolumes,
		DisableProcMount:        s.DisableProcMount,
		EnableUnprivilegedPorts: s.EnableUnprivilegedPorts,
		EnableUnprivilegedICMP:  s.EnableUnprivilegedICMP,
		IgnoreRDT:               s.Containerd.IgnoreRdtNotEnabledErrors,
		IgnoreBlockIO:           s.Containerd.IgnoreBlockIONotEnabledErrors,
		CDISpecDirs:             s.CDISpecDirs,
	}
	n.Swap = swapThere(n.Unified)
	if n.Unified {
		n.CgroupMountOptions, err = cgroupMountOptions()
	}
	return n, err
}

// systemdCgroup tells how the kubelet names the cgroups of pods: as the default handler does.
func (b *builder) systemdCgroup() bool {
	h := b.settings.Containerd.Runtimes[b.settings.Containerd.DefaultRuntimeName]
	return h.option("SystemdCgroup")
}

// userNamespaces reports whether pods can have their own: their volumes and root file systems need
// idmapped mounts.
func (b *builder) userNamespaces() bool { return b.node.RecursiveReadOnly }

// controllerThere reports whether a cgroup controller is there, in whichever version.
func controllerThere(name string) bool {
	all, err := cgroups.GetAllSubsystems()
	if err != nil {
		return false
	}
	for _, subsystem := range all {
		if subsystem == name {
			return true
		}
	}
	return false
}

// cgroupMountOptions are those of the host's cgroup2 file system that are its own, not the mount's.
func cgroupMountOptions() ([]string, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter("/sys/fs/cgroup"))
	if err != nil || len(mounts) == 0 {
		return nil, err
	}
	return slices.DeleteFunc(strings.Split(mounts[0].VFSOptions, ","), func(o string) bool { return o == "rw" || o == "ro" }), nil
}

// swapThere reports whether swap can be limited.
func swapThere(unified bool) bool {
	if unified {
		return true // memory.swap.max, or the memory controller's own refusal
	}
	_, err := os.Stat("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes")
	return err == nil
}

func oomScoreAdj() (int, error) {
	text, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}
