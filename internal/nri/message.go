// SPDX-License-Identifier: Apache-2.0

package nri

import (
	"maps"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Pod is a pod sandbox as plugins see it.
type Pod struct {
	ID, Name, UID, Namespace string
	Labels, Annotations      map[string]string
	RuntimeHandler           string
	CgroupParent             string
	Overhead, Resources      *runtime.LinuxContainerResources // may be nil
	Namespaces               []specs.LinuxNamespace           // that it has, with the paths by which a process of the host opens them
	Pid                      int                              // of the process that holds a shared pid namespace, 0 for none
	IPs                      []string
	Stopped                  bool
}

func (p *Pod) message() *api.PodSandbox {
	return &api.PodSandbox{
		Id: p.ID, Name: p.Name, Uid: p.UID, Namespace: p.Namespace,
		Labels: p.Labels, Annotations: p.Annotations,
		RuntimeHandler: p.RuntimeHandler, Pid: uint32(p.Pid), Ips: p.IPs,
		Linux: &api.LinuxPodSandbox{
			PodOverhead:  resourcesMessage(p.Overhead),
			PodResources: resourcesMessage(p.Resources),
			CgroupParent: p.CgroupParent,
			Namespaces:   api.FromOCILinuxNamespaces(p.Namespaces),
		},
	}
}

// Container is a container as plugins see it.
type Container struct {
	ID, PodID, Name     string
	State               runtime.ContainerState
	Labels, Annotations map[string]string // of CRI
	// Spec says the rest. Only Operation.CreateContainer changes it.
	Spec           *specs.Spec
	CDIDevices     []string // qualified names
	SeccompProfile *runtime.SecurityProfile
	Image          Image

	Pid                            int // 0 when it does not run
	CreatedAt, StartedAt, Finished time.Time
	ExitCode                       int32
	Reason, Message                string
}

// Image of a container.
type Image struct {
	Name         string // reference
	Digest       string // of the manifest or index
	ConfigDigest string
}

func (c *Container) message() *api.Container {
	m := &api.Container{
		Id: c.ID, PodSandboxId: c.PodID, Name: c.Name, State: state(c.State),
		Labels: maps.Clone(c.Labels), Annotations: maps.Clone(c.Annotations),
		Pid: uint32(c.Pid), CreatedAt: unixNano(c.CreatedAt), StartedAt: unixNano(c.StartedAt), FinishedAt: unixNano(c.Finished),
		ExitCode: c.ExitCode, StatusReason: c.Reason, StatusMessage: c.Message,
		Image: &api.Image{Name: c.Image.Name, Digest: c.Image.Digest, ConfigDigest: c.Image.ConfigDigest},
	}
	for _, name := range c.CDIDevices {
		m.CDIDevices = append(m.CDIDevices, &api.CDIDevice{Name: name})
	}
	if c.Spec != nil {
		describe(m, c.Spec)
		m.Linux.SeccompProfile = seccompProfile(c.SeccompProfile)
	}
	return m
}

// describe adds what the spec says. The message shares nothing with it that the adaptation changes.
func describe(m *api.Container, s *specs.Spec) {
	if m.Annotations == nil {
		m.Annotations = map[string]string{}
	}
	for key, value := range s.Annotations {
		if _, known := m.Annotations[key]; !known {
			m.Annotations[key] = value
		}
	}
	m.Mounts = api.FromOCIMounts(s.Mounts)
	m.Hooks = api.FromOCIHooks(s.Hooks)
	m.Linux = linux(s)
	p := s.Process
	if p == nil {
		return
	}
	m.Args, m.Env = api.DupStringSlice(p.Args), api.DupStringSlice(p.Env)
	m.User = &api.User{Uid: p.User.UID, Gid: p.User.GID, AdditionalGids: p.User.AdditionalGids}
	for _, l := range p.Rlimits {
		m.Rlimits = append(m.Rlimits, &api.POSIXRlimit{Type: l.Type, Hard: l.Hard, Soft: l.Soft})
	}
	m.Linux.OomScoreAdj = api.Int(p.OOMScoreAdj)
	m.Linux.IoPriority = api.FromOCILinuxIOPriority(p.IOPriority)
	if p.Scheduler != nil {
		m.Linux.Scheduler = api.FromOCILinuxScheduler(p.Scheduler)
	}
}

func linux(s *specs.Spec) *api.LinuxContainer {
	l := s.Linux
	if l == nil {
		return &api.LinuxContainer{}
	}
	m := &api.LinuxContainer{
		Namespaces:  api.FromOCILinuxNamespaces(l.Namespaces),
		Devices:     api.FromOCILinuxDevices(l.Devices),
		Resources:   api.FromOCILinuxResources(l.Resources, s.Annotations),
		CgroupsPath: l.CgroupsPath,
		Sysctl:      maps.Clone(l.Sysctl),
		NetDevices:  api.FromOCILinuxNetDevices(l.NetDevices),
	}
	if l.Seccomp != nil {
		m.SeccompPolicy = api.FromOCILinuxSeccomp(l.Seccomp)
	}
	if r := l.IntelRdt; r != nil {
		m.Rdt = &api.LinuxRdt{ClosId: api.String(r.ClosID), Schemata: api.RepeatedString(r.Schemata), EnableMonitoring: api.Bool(r.EnableMonitoring)}
	}
	return m
}

func seccompProfile(p *runtime.SecurityProfile) *api.SecurityProfile {
	if p == nil {
		return nil
	}
	types := map[runtime.SecurityProfile_ProfileType]api.SecurityProfile_ProfileType{
		runtime.SecurityProfile_RuntimeDefault: api.SecurityProfile_RUNTIME_DEFAULT,
		runtime.SecurityProfile_Unconfined:     api.SecurityProfile_UNCONFINED,
		runtime.SecurityProfile_Localhost:      api.SecurityProfile_LOCALHOST,
	}
	return &api.SecurityProfile{ProfileType: types[p.ProfileType], LocalhostRef: p.LocalhostRef}
}

func state(s runtime.ContainerState) api.ContainerState {
	switch s {
	case runtime.ContainerState_CONTAINER_CREATED:
		return api.ContainerState_CONTAINER_CREATED
	case runtime.ContainerState_CONTAINER_RUNNING:
		return api.ContainerState_CONTAINER_RUNNING
	case runtime.ContainerState_CONTAINER_EXITED:
		return api.ContainerState_CONTAINER_STOPPED
	}
	return api.ContainerState_CONTAINER_UNKNOWN
}

func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
