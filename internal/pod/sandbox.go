// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/network"
	"github.com/sardine-run/sardine/internal/nsstore"
	"github.com/sardine-run/sardine/internal/podspec"
	"github.com/sardine-run/sardine/internal/podstats"
)

// phase is where a sandbox is in its life:
//
//	making ──▶ ready ──▶ stopping ──▶ stopped ──▶ removed
//
// One that a crash caught while it was being made is removed by the next daemon, and one whose
// namespaces are lost is stopping there.
type phase string

const (
	making   phase = "making"
	ready    phase = "ready"
	stopping phase = "stopping" // nothing is started in it any more
	stopped  phase = "stopped"  // it has neither namespaces nor networks
	removed  phase = "removed"  // never recorded
)

// Sandbox is a pod: what its containers share. Its exported fields do not change; its methods may be called
// concurrently.
type Sandbox struct {
	ID          string
	HandlerName string
	Created     time.Time

	// What lists tell of the configuration.
	Metadata            *runtime.PodSandboxMetadata
	Labels, Annotations map[string]string
	CgroupParent        string // "" without

	// History is podstats' own.
	History podstats.History

	manager *Manager
	handler *Handler
	labels  seLabels
	spaces  *nsstore.Set         // nil when a later daemon did not find them
	holder  *container.Container // of a pid namespace that is shared, nil when a later daemon did not find it

	config                          []byte // runtime.PodSandboxConfig
	logDirectory                    string
	hostNetwork, hostIPC, sharedPID bool
	users                           *runtime.UserNamespace // nil without one of its own

	// op serializes stopping and removing.
	op lock

	look sync.Mutex // taken before mu, and those of containers

	mu         sync.Mutex // guards what follows
	phase      phase
	network    *network.Result // nil without
	containers map[string]*Container
	resources  []byte // runtime.LinuxContainerResources, as updated last
	overhead   []byte // the same
}

// configure takes what is needed of the configuration, which message has as bytes.
func (s *Sandbox) configure(cfg *runtime.PodSandboxConfig, message []byte) {
	options := security(cfg).GetNamespaceOptions()
	s.config, s.Metadata, s.logDirectory, s.CgroupParent = message, cfg.Metadata, cfg.LogDirectory, cfg.GetLinux().GetCgroupParent()
	s.Labels, s.Annotations = shareKeys(cfg.Labels), shareKeys(cfg.Annotations)
	s.hostNetwork = options.GetNetwork() == runtime.NamespaceMode_NODE
	s.hostIPC = options.GetIpc() == runtime.NamespaceMode_NODE
	s.sharedPID = options.GetPid() == runtime.NamespaceMode_POD
	if u := options.GetUsernsOptions(); u != nil && u.Mode == runtime.NamespaceMode_POD {
		s.users = u
	}
}

// Config is the configuration, decoded anew: the caller may do with it what it likes.
func (s *Sandbox) Config() *runtime.PodSandboxConfig {
	return unpacked[runtime.PodSandboxConfig](s.config)
}

// seLabels are the SELinux labels of a pod.
type seLabels struct {
	Process string `json:"process,omitempty"`
	Mount   string `json:"mount,omitempty"`
}

// SandboxStatus is a sandbox at one moment.
type SandboxStatus struct {
	Ready   bool
	Network network.Result
}

// Status of the sandbox.
func (s *Sandbox) Status() SandboxStatus {
	held := s.held()
	s.mu.Lock()
	defer s.mu.Unlock()
	status := SandboxStatus{Ready: s.phase == ready && held}
	if s.network != nil {
		status.Network = *s.network
	}
	return status
}

// held reports whether the pid namespace is there if the pod has one: it ends with its holder.
func (s *Sandbox) held() bool {
	if !s.sharedPID {
		return true
	}
	return s.holder != nil && s.holder.Status().State == container.Running
}

// Look calls f with the time, one at a time: of two looks the one with the later time has the newer state.
func (s *Sandbox) Look(f func(now time.Time)) {
	s.look.Lock()
	defer s.look.Unlock()
	f(time.Now())
}

// Containers lists the containers of the pod, in no order.
func (s *Sandbox) Containers() []*Container {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*Container, 0, len(s.containers))
	for _, c := range s.containers {
		list = append(list, c)
	}
	return list
}

// NetNS is a path of the pod's network namespace, valid in the daemon's lifetime; "" when the pod is in
// the host's or stopped.
func (s *Sandbox) NetNS() string { return s.space(unix.CLONE_NEWNET) }

// space is the path of a namespace of the pod, "" without.
func (s *Sandbox) space(flag uintptr) string {
	if s.spaces == nil {
		return ""
	}
	return s.spaces.Path(flag)
}

// NetNSFile is the descriptor behind NetNS, nil when there is none. It stays the pod's.
func (s *Sandbox) NetNSFile() *os.File {
	if s.spaces == nil {
		return nil
	}
	return s.spaces.File(unix.CLONE_NEWNET)
}

// HostNetwork reports whether the pod is in the host's network.
func (s *Sandbox) HostNetwork() bool { return s.hostNetwork }

// security is never nil.
func security(cfg *runtime.PodSandboxConfig) *runtime.LinuxSandboxSecurityContext {
	if sc := cfg.GetLinux().GetSecurityContext(); sc != nil {
		return sc
	}
	return &runtime.LinuxSandboxSecurityContext{}
}

// sandboxName is unique among the pods of the node, and what messages call the pod.
func sandboxName(m *runtime.PodSandboxMetadata) string {
	return joinName(m.GetName(), m.GetNamespace(), m.GetUid(), fmt.Sprint(m.GetAttempt()))
}

// joinName is one name of several, in containerd's way but without two names that are the same.
func joinName(parts ...string) string {
	for i, p := range parts {
		parts[i] = separators.Replace(p)
	}
	return strings.Join(parts, "_")
}

var separators = strings.NewReplacer("%", "%25", "_", "%5f")

// spec is what containers of the pod are told of it.
func (s *Sandbox) spec() *podspec.Pod {
	p := &podspec.Pod{
		ID: s.ID, Config: s.Config(), Namespaces: s.Namespaces(),
		Hosts: filepath.Join(s.dir(), hostsName), ResolvConf: filepath.Join(s.dir(), resolvConfName), Hostname: filepath.Join(s.dir(), hostnameName),
		SHM: shmSource, ProcessLabel: s.labels.Process, MountLabel: s.labels.Mount,
	}
	if s.hostIPC {
		p.SHM = hostSHM
	}
	if u := s.users; u != nil {
		p.UIDMappings, p.GIDMappings = specMappings(u.Uids), specMappings(u.Gids)
	}
	return p
}

// Namespaces of the pod, as paths.
func (s *Sandbox) Namespaces() map[specs.LinuxNamespaceType]string {
	paths := map[specs.LinuxNamespaceType]string{}
	for flag, kind := range namespaceTypes {
		if path := s.space(flag); path != "" {
			paths[kind] = path
		}
	}
	if s.holder != nil {
		paths[specs.PIDNamespace] = fmt.Sprintf("/proc/%d/ns/pid", s.holder.Pid())
	}
	return paths
}

// Sources of /dev/shm: the pod's tmpfs, which is no path, and the host's.
const (
	shmSource = "pod:shm"
	hostSHM   = "/dev/shm"
)

var namespaceTypes = map[uintptr]specs.LinuxNamespaceType{
	unix.CLONE_NEWNET: specs.NetworkNamespace, unix.CLONE_NEWIPC: specs.IPCNamespace,
	unix.CLONE_NEWUTS: specs.UTSNamespace, unix.CLONE_NEWUSER: specs.UserNamespace,
}

func specMappings(ids []*runtime.IDMapping) linuxMappings {
	var maps linuxMappings
	for _, m := range ids {
		maps = append(maps, specs.LinuxIDMapping{ContainerID: m.ContainerId, HostID: m.HostId, Size: m.Length})
	}
	return maps
}

// rootIDs are the host's ids of the pod's root user and group.
func (s *Sandbox) rootIDs() (uid, gid int) {
	if s.users == nil {
		return 0, 0
	}
	return hostID(s.users.Uids), hostID(s.users.Gids)
}

func hostID(maps []*runtime.IDMapping) int {
	for _, m := range maps {
		if m.ContainerId == 0 {
			return int(m.HostId)
		}
	}
	return 0
}
