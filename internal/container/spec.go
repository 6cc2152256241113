// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"weak"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sardine-run/sardine/internal/cgroup"
	"github.com/sardine-run/sardine/internal/exits"
	"github.com/sardine-run/sardine/internal/oci"
	"github.com/sardine-run/sardine/internal/plan"
)

// sharedSpec is the spec of a container while somebody uses it: to read it takes longer than the rest of the daemon's
// part in an exec. The collector takes it away, so that nothing of it is kept of a container that is left alone.
type sharedSpec struct {
	mu      sync.Mutex // held while it is read, so that many execs at the same time read it once
	pointer weak.Pointer[specs.Spec]
}

// get returns what read does, or has returned for another caller. Nobody may change it.
func (s *sharedSpec) get(read func() (*specs.Spec, error)) (*specs.Spec, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if spec := s.pointer.Value(); spec != nil {
		return spec, nil
	}
	spec, err := read()
	if err == nil {
		s.pointer = weak.Make(spec)
	}
	return spec, err
}

// hostUID is uid as the host sees it: a user namespace that is new maps it by the spec.
// -1 when it is not mapped.
func hostUID(spec *specs.Spec, uid uint32) int {
	if spec.Linux == nil || len(spec.Linux.UIDMappings) == 0 {
		return int(uid)
	}
	for _, m := range spec.Linux.UIDMappings {
		if uid >= m.ContainerID && uid-m.ContainerID < m.Size {
			return int(m.HostID + uid - m.ContainerID)
		}
	}
	return -1
}

// cgroupMounts says where c is, for mounts of type "cgroup".
func cgroupMounts(host *cgroup.Host, c *cgroup.Cgroup) oci.Cgroup {
	if host.Mode() == cgroup.Unified {
		return oci.Cgroup{Unified: true, Path: c.Paths()[""]}
	}
	var mounts oci.Cgroup
	for _, m := range host.Mounts() {
		mounts.Hierarchies = append(mounts.Hierarchies, plan.Pair{
			Key: filepath.Base(m.Mountpoint), Value: filepath.Join(m.Mountpoint, c.Path()),
		})
	}
	return mounts
}

func (c *Container) hookState(spec *specs.Spec, status specs.ContainerState, pid int) specs.State {
	return oci.State(spec, c.id, c.Bundle(), status, pid)
}

// runHostHooks runs prestart and createRuntime hooks.
func (c *Container) runHostHooks(ctx context.Context, spec *specs.Spec, pid int) error {
	return oci.RunHooks(ctx, oci.HostHooks(spec.Hooks), c.hookState(spec, specs.StateCreating, pid))
}

func (c *Container) runPoststart(ctx context.Context) error {
	spec, err := c.readSpec()
	if err != nil {
		return err
	}
	return oci.RunHooks(ctx, spec.Hooks.Poststart, c.hookState(spec, specs.StateRunning, c.Pid()))
}

func (c *Container) runPoststop(ctx context.Context) error {
	spec, err := c.readSpec()
	if err != nil {
		return err
	}
	return oci.RunAllHooks(ctx, spec.Hooks.Poststop, c.hookState(spec, specs.StateStopped, 0))
}

// reap has the Watcher reap a child that is no container's process.
func (m *Manager) reap(pid int, pidfd *os.File, ended func()) error {
	identity, err := exits.ReadIdentity(pid)
	if err != nil {
		pidfd.Close()
		return err
	}
	return m.Exits.Watch(exits.Child{Identity: identity, Pidfd: pidfd}, func(exits.Status) {
		m.Exits.Forget(identity)
		ended()
	})
}
