// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Container is one container to be.
type Container struct {
	ID        string
	Pod       *Pod
	Config    *runtime.ContainerConfig
	Image     *ocispec.Image
	ImageName string // the reference the user gave
	// ReadFile reads a file of the image: /etc/passwd, /etc/group. fs.ErrNotExist.
	ReadFile    func(path string) ([]byte, error)
	CgroupsPath string // of CgroupsPath; "" is that of a pod without a cgroup parent
	TargetPID   string // path of the pid namespace of the TARGET mode
	// Volumes of the image, with the host directory that is bound at each: a key for
	// everything ImageVolumes lists.
	Volumes map[string]string
	// ImageMounts are the sources of the config's image volumes, by their container path.
	// Their names are passed on as they are and may stand for detached mounts.
	ImageMounts map[string]string
	Handler     *Handler // nil: a handler without settings
}

// Result is the translation.
type Result struct {
	// Spec belongs to the caller, apart from Linux.Seccomp, which is shared between
	// containers: it may be replaced, but not changed.
	Spec       *specs.Spec
	User       *runtime.ContainerUser // as ContainerStatus tells it
	StopSignal string                 // "SIGTERM", "SIGRTMIN+3", or a number if the image has one

	// What Prepare does on the host.
	Directories     []string // to be made: sources of bind mounts that do not exist
	Relabel         []string // paths to be given Spec.Linux.MountLabel; sources that are no paths are the caller's
	DefaultAppArmor bool     // the profile DefaultAppArmorProfile has to be loaded

	// ProcessLabel was reserved for this container, even if it runs without (privileged).
	// selinux.ReleaseLabel gives it back when the container is removed.
	ProcessLabel string
}
