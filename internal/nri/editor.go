// SPDX-License-Identifier: Apache-2.0

package nri

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// editor edits a spec, as generate.UnderlyingGenerator wants it. The spec has Process and Linux.
type editor struct{ s *specs.Spec }

// made returns *p, which it makes if it is nil.
func made[T any](p **T) *T {
	if *p == nil {
		*p = new(T)
	}
	return *p
}

// put sets a key of a map that may be nil.
func put(m *map[string]string, key, value string) {
	if *m == nil {
		*m = map[string]string{}
	}
	(*m)[key] = value
}

// replace puts v in place of the element that same finds, or at the end.
func replace[T any](list []T, v T, same func(T) bool) []T {
	if i := slices.IndexFunc(list, same); i >= 0 {
		list[i] = v
		return list
	}
	return append(list, v)
}

func (e *editor) resources() *specs.LinuxResources { return made(&e.s.Linux.Resources) }
func (e *editor) cpu() *specs.LinuxCPU             { return made(&e.resources().CPU) }
func (e *editor) memory() *specs.LinuxMemory       { return made(&e.resources().Memory) }

func (e *editor) Spec() *specs.Spec { return e.s }

func (e *editor) AddAnnotation(key, value string) { put(&e.s.Annotations, key, value) }
func (e *editor) RemoveAnnotation(key string)     { delete(e.s.Annotations, key) }

func (e *editor) SetProcessArgs(args []string) { e.s.Process.Args = args }
func (e *editor) ClearProcessEnv()             { e.s.Process.Env = nil }

func (e *editor) AddProcessEnv(name, value string) {
	e.s.Process.Env = replace(e.s.Process.Env, name+"="+value, func(v string) bool { return strings.HasPrefix(v, name+"=") })
}

func (e *editor) SetProcessOOMScoreAdj(adj int) { e.s.Process.OOMScoreAdj = &adj }

func (e *editor) Mounts() []specs.Mount    { return e.s.Mounts }
func (e *editor) ClearMounts()             { e.s.Mounts = nil }
func (e *editor) AddMount(mnt specs.Mount) { e.s.Mounts = append(e.s.Mounts, mnt) }

func (e *editor) RemoveMount(destination string) {
	e.s.Mounts = slices.DeleteFunc(e.s.Mounts, func(m specs.Mount) bool {
		return filepath.Clean(m.Destination) == filepath.Clean(destination)
	})
}

func (e *editor) AddDevice(device specs.LinuxDevice) {
	e.s.Linux.Devices = replace(e.s.Linux.Devices, device, func(d specs.LinuxDevice) bool { return d.Path == device.Path })
}

func (e *editor) RemoveDevice(path string) {
	e.s.Linux.Devices = slices.DeleteFunc(e.s.Linux.Devices, func(d specs.LinuxDevice) bool { return d.Path == path })
}

// AddPreStartHook is deprecated in OCI and part of NRI.
func (e *editor) AddPreStartHook(hook specs.Hook) {
	h := made(&e.s.Hooks)
	h.Prestart = append(h.Prestart, hook) //nolint:staticcheck // SA1019: see above
}

func (e *editor) AddPostStartHook(hook specs.Hook) {
	h := made(&e.s.Hooks)
	h.Poststart = append(h.Poststart, hook)
}

func (e *editor) AddPostStopHook(hook specs.Hook) {
	h := made(&e.s.Hooks)
	h.Poststop = append(h.Poststop, hook)
}

var namespaceTypes = []specs.LinuxNamespaceType{
	specs.PIDNamespace, specs.NetworkNamespace, specs.MountNamespace, specs.IPCNamespace,
	specs.UTSNamespace, specs.UserNamespace, specs.CgroupNamespace, specs.TimeNamespace,
}

func namespaceType(name string) (specs.LinuxNamespaceType, error) {
	t := specs.LinuxNamespaceType(name)
	if !slices.Contains(namespaceTypes, t) {
		return "", fmt.Errorf("there is no namespace of type %q: %w", name, errdefs.ErrInvalidArgument)
	}
	return t, nil
}

func (e *editor) AddOrReplaceLinuxNamespace(name, path string) error {
	t, err := namespaceType(name)
	if err != nil {
		return err
	}
	e.s.Linux.Namespaces = replace(e.s.Linux.Namespaces, specs.LinuxNamespace{Type: t, Path: path},
		func(n specs.LinuxNamespace) bool { return n.Type == t })
	return nil
}

func (e *editor) RemoveLinuxNamespace(name string) error {
	t, err := namespaceType(name)
	if err != nil {
		return err
	}
	e.s.Linux.Namespaces = slices.DeleteFunc(e.s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == t })
	return nil
}

func (e *editor) AddLinuxSysctl(key, value string) { put(&e.s.Linux.Sysctl, key, value) }
func (e *editor) RemoveLinuxSysctl(key string)     { delete(e.s.Linux.Sysctl, key) }

func (e *editor) SetLinuxCgroupsPath(path string) { e.s.Linux.CgroupsPath = path }

// SetLinuxRootPropagation leaves it to the translation of the spec to refuse values that do not exist.
func (e *editor) SetLinuxRootPropagation(propagation string) error {
	e.s.Linux.RootfsPropagation = propagation
	return nil
}

func (e *editor) AddLinuxResourcesDevice(allow bool, kind string, major, minor *int64, access string) {
	r := e.resources()
	r.Devices = append(r.Devices, specs.LinuxDeviceCgroup{Allow: allow, Type: kind, Major: major, Minor: minor, Access: access})
}

func (e *editor) AddLinuxResourcesHugepageLimit(pageSize string, limit uint64) {
	r := e.resources()
	r.HugepageLimits = replace(r.HugepageLimits, specs.LinuxHugepageLimit{Pagesize: pageSize, Limit: limit},
		func(l specs.LinuxHugepageLimit) bool { return l.Pagesize == pageSize })
}

func (e *editor) AddLinuxResourcesUnified(key, value string) { put(&e.resources().Unified, key, value) }

func (e *editor) SetLinuxResourcesCPUShares(shares uint64) { e.cpu().Shares = &shares }
func (e *editor) SetLinuxResourcesCPUQuota(quota int64)    { e.cpu().Quota = &quota }
func (e *editor) SetLinuxResourcesCPUPeriod(period uint64) { e.cpu().Period = &period }
func (e *editor) SetLinuxResourcesCPURealtimeRuntime(runtime int64) {
	e.cpu().RealtimeRuntime = &runtime
}
func (e *editor) SetLinuxResourcesCPURealtimePeriod(period uint64) { e.cpu().RealtimePeriod = &period }
func (e *editor) SetLinuxResourcesCPUCpus(cpus string)             { e.cpu().Cpus = cpus }
func (e *editor) SetLinuxResourcesCPUMems(mems string)             { e.cpu().Mems = mems }
func (e *editor) SetLinuxResourcesMemoryLimit(limit int64)         { e.memory().Limit = &limit }
func (e *editor) SetLinuxResourcesMemorySwap(swap int64)           { e.memory().Swap = &swap }
