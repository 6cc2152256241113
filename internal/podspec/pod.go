// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Pod is what its containers share.
type Pod struct {
	ID     string
	Config *runtime.PodSandboxConfig
	// Namespaces to join, by type, as paths; a type that is missing is the host's for
	// network, ipc, uts and pid if the pod's options say NODE, and the container's own otherwise.
	Namespaces               map[specs.LinuxNamespaceType]string
	UIDMappings, GIDMappings []specs.LinuxIDMapping // of the user namespace, empty without one
	// Files to bind, "" for none. In a pod with a user namespace they must belong to its
	// root: they are bound as they are, without an id map, since tmpfs has none before
	// Linux 6.3. Their names are passed on as they are and may stand for detached mounts.
	Hosts, Hostname, ResolvConf string
	SHM                         string // source of /dev/shm, bound; "" is the host's for a pod in the host's IPC namespace
	ProcessLabel, MountLabel    string // SELinux, of PodLabels
}

func (p *Pod) security() *runtime.LinuxSandboxSecurityContext {
	return p.Config.GetLinux().GetSecurityContext()
}

func (p *Pod) namespaceOptions() *runtime.NamespaceOption {
	return p.security().GetNamespaceOptions()
}

func (p *Pod) hostNetwork() bool {
	return p.namespaceOptions().GetNetwork() == runtime.NamespaceMode_NODE
}

func (p *Pod) hostIPC() bool {
	return p.namespaceOptions().GetIpc() == runtime.NamespaceMode_NODE
}

func (p *Pod) hostPID() bool {
	return p.namespaceOptions().GetPid() == runtime.NamespaceMode_NODE
}

// userNamespace reports whether the pod has one.
func (p *Pod) userNamespace() bool {
	return ownUserNamespace(p.namespaceOptions().GetUsernsOptions())
}

// ownUserNamespace: without options there is none, although CRI says that POD is to be
// assumed: that was meant for kubelets that knew of no user namespaces.
func ownUserNamespace(o *runtime.UserNamespace) bool {
	return o != nil && o.GetMode() == runtime.NamespaceMode_POD
}
