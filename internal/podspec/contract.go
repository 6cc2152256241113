// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Node is what holds for all containers: facts of the host and configuration.
type Node struct {
	Unified       bool // pure cgroup v2
	SystemdCgroup bool // the pod cgroup parents are slices
	AppArmor      bool // the host has it and the configuration does not disable it
	SELinux       bool // the same
	SELinuxRange  int  // upper bound of categories
	Hugetlb, Swap bool // cgroup controllers are there
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
	CDISpecDirs             []string // empty: no CDI
}

// Handler is what the configuration says of a runtime handler.
type Handler struct {
	PodAnnotations, ContainerAnnotations []string // patterns, path.Match
	PrivilegedWithoutHostDevices         bool
	PrivilegedAllDevicesAllowed          bool
	CgroupWritable                       bool
	BaseSpec                             *specs.Spec // nil: the default
}

// Pod is what its containers share.
type Pod struct {
	ID     string
	Config *runtime.PodSandboxConfig
	// Namespaces to join, by type, as paths; a type that is missing is the host's for
	// network, ipc, uts and pid if the pod's options say NODE, and the container's own otherwise.
	Namespaces               map[specs.LinuxNamespaceType]string
	UIDMappings, GIDMappings []specs.LinuxIDMapping // of the user namespace, empty without one
	// Files to bind, "" for none.
	Hosts, Hostname, ResolvConf string
	SHM                         string // source of /dev/shm, bound
	ProcessLabel, MountLabel    string // SELinux
}

// Container is one container to be.
type Container struct {
	ID        string
	Pod       *Pod
	Config    *runtime.ContainerConfig
	Image     *ocispec.Image
	ImageName string // the reference the user gave
	// ReadFile reads a file of the image: /etc/passwd, /etc/group. fs.ErrNotExist.
	ReadFile    func(path string) ([]byte, error)
	CgroupsPath string
	TargetPID   string // path of the pid namespace of the TARGET mode
	// Volumes of the image, with the host directory that is bound at each.
	Volumes map[string]string
	// ImageMounts are the sources of the config's image volumes, by their container path.
	ImageMounts map[string]string
	Handler     *Handler
}

// Result is the translation.
type Result struct {
	Spec       *specs.Spec
	User       *runtime.ContainerUser // as ContainerStatus tells it
	StopSignal string                 // "SIGTERM"
}
