// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/mountinfo"
	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"
)

// Mode says which cgroup hierarchies the host has mounted.
type Mode string

const (
	// Legacy: only cgroup v1 hierarchies.
	Legacy Mode = "legacy"
	// Hybrid: v1 hierarchies hold the controllers, a cgroup2 mount beside them has none.
	Hybrid Mode = "hybrid"
	// Unified: cgroup v2 only.
	Unified Mode = "unified"
)

// Host is what Detect found: the mode and one descriptor per hierarchy.
// It is safe for concurrent use until Close.
type Host struct {
	mode        Mode
	v1          []*hierarchy
	unified     *hierarchy // nil on Legacy
	controllers []string   // of the root of the unified hierarchy; nil unless Unified
	filters     filterCache

	// use is held for reading by who makes and removes cgroups: half of that with descriptors that are closed, and perhaps another's
	// already, would look like success.
	use    sync.RWMutex
	closed bool
}

// enter keeps the Host open until leave is called. ErrUnavailable when it is closed.
func (h *Host) enter() (leave func(), err error) {
	h.use.RLock()
	if h.closed {
		h.use.RUnlock()
		return nil, fmt.Errorf("the host's cgroups are closed: %w", errdefs.ErrUnavailable)
	}
	return h.use.RUnlock, nil
}

// Detect reads the caller's mount table, once. The Host stays valid in threads
// that change their mount namespace, because it holds the mounts by descriptor.
// An error means that no cgroup file system is mounted below /sys/fs/cgroup.
func Detect() (*Host, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return nil, fmt.Errorf("cgroup: read mounts: %w", err)
	}
	own, err := cgroups.ParseCgroupFile("/proc/thread-self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("cgroup: read own cgroups: %w", err)
	}
	h := &Host{}
	if err := h.open(mounts, own); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// Close releases the descriptors, when nobody makes or removes a cgroup any more. Afterwards that fails, and nothing else may be
// done with a Cgroup of this host.
func (h *Host) Close() {
	h.use.Lock()
	defer h.use.Unlock()
	h.closed = true
	for _, hier := range h.all() {
		hier.close()
	}
	h.v1, h.unified = nil, nil
	h.filters.close()
}

// Mode of this host.
func (h *Host) Mode() Mode { return h.mode }

// Mounts lists the hierarchies: v1 in mount order, the unified one last.
func (h *Host) Mounts() []Mount {
	var mounts []Mount
	for _, hier := range h.all() {
		mounts = append(mounts, hier.Mount)
	}
	return mounts
}

// Controllers lists the controllers that can be limited on this host: those of the
// mounted v1 hierarchies, or those of the root of the unified hierarchy.
func (h *Host) Controllers() []string {
	if h.mode == Unified {
		return slices.Clone(h.controllers)
	}
	var names []string
	for _, hier := range h.v1 {
		names = append(names, hier.Controllers...)
	}
	return names
}

func (h *Host) open(mounts []*mountinfo.Info, own map[string]string) error {
	selected := selectMounts(mounts, own)
	for _, m := range selected {
		hier, err := openHierarchy(m)
		if err != nil {
			return err
		}
		if m.Unified() {
			h.unified = hier
		} else {
			h.v1 = append(h.v1, hier)
		}
	}
	switch {
	case len(h.v1) == 0 && h.unified == nil:
		return fmt.Errorf("cgroup: no cgroup file system is mounted; mount cgroup2 on /sys/fs/cgroup: %w", errdefs.ErrFailedPrecondition)
	case len(h.v1) == 0:
		h.mode = Unified
		return h.readControllers()
	case h.unified == nil:
		h.mode = Legacy
	default:
		h.mode = Hybrid
	}
	return nil
}

func (h *Host) readControllers() error {
	data, err := h.unified.read("cgroup.controllers")
	if err != nil {
		return fmt.Errorf("cgroup: %w", err)
	}
	h.controllers = strings.Fields(data)
	return nil
}

// all lists the hierarchies, the unified one last.
func (h *Host) all() []*hierarchy {
	if h.unified == nil {
		return h.v1
	}
	return append(slices.Clip(h.v1), h.unified)
}

// v1Of returns the hierarchy that holds the v1 controller name, nil if none does.
func (h *Host) v1Of(name string) *hierarchy {
	for _, hier := range h.v1 {
		if slices.Contains(hier.Controllers, name) {
			return hier
		}
	}
	return nil
}

// processes returns the hierarchy whose cgroup.procs is asked for the container's processes.
// On hybrid that is a v1 one: a process that left the cgroup2 directory keeps its v1 limits.
func (h *Host) processes() *hierarchy {
	if h.mode == Unified {
		return h.unified
	}
	for _, name := range []string{"freezer", "devices", "pids", "memory"} {
		if hier := h.v1Of(name); hier != nil {
			return hier
		}
	}
	return h.v1[0]
}

// selectMounts keeps one mount per hierarchy. Where /sys/fs/cgroup itself is cgroup2 the
// host is unified, and v1 hierarchies mounted elsewhere are somebody's private matter.
func selectMounts(mounts []*mountinfo.Info, own map[string]string) []Mount {
	var selected []Mount
	seen := map[string]bool{}
	for _, info := range mounts {
		m := newMount(info, own)
		if m.Unified() && m.Mountpoint == unifiedRoot {
			return []Mount{m}
		}
		key := m.key()
		if key == "" || seen[key] {
			continue
		}
		seen[key] = true
		selected = append(selected, m)
	}
	return selected
}

// unifiedRoot is where github.com/opencontainers/cgroups expects the unified hierarchy.
const unifiedRoot = "/sys/fs/cgroup"

// isCgroup2 reports whether the directory fd lies on a cgroup2 file system.
func isCgroup2(fd int) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(fd, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}
