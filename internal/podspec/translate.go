// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"fmt"
	"path"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/selinux/go-selinux"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Translator translates the containers of one node. It remembers what is the same for
// many of them. It may be used from several goroutines, and holds nothing that needs
// closing.
type Translator struct {
	node     Node
	host     Host
	defaults *specs.Spec
	seccomp  seccompProfiles
	cdi      cdiDevices
}

// New prepares for n, which it copies. Errors are of class InvalidArgument for a setting.
func New(n *Node) (*Translator, error) {
	defaults, err := defaultSpec()
	if err != nil {
		return nil, err
	}
	if n.SELinux && n.SELinuxRange > 0 {
		if err := selinux.SetCategoryRange(uint32(n.SELinuxRange)); err != nil {
			return nil, invalid("selinux_category_range: %d: %v", n.SELinuxRange, err)
		}
	}
	return &Translator{
		node: *n, host: n.Host.orLocal(), defaults: defaults,
		cdi: cdiDevices{directories: n.CDISpecDirs},
	}, nil
}

// Node is what the translator was made for. It must not be changed.
func (t *Translator) Node() *Node { return &t.node }

// translation is one container on its way to a spec.
type translation struct {
	*Translator
	c        *Container
	config   *runtime.ContainerConfig
	security *runtime.LinuxContainerSecurityContext
	image    ocispec.ImageConfig
	handler  *Handler
	spec     *specs.Spec
	result   *Result
}

// Translate makes the spec of a container. It changes nothing on the node; Result.Prepare
// does. Errors are of class InvalidArgument for a mistake in the request or the image, with
// the field's name, FailedPrecondition for what the node lacks, NotImplemented for what
// Sardine does not do. c is not changed and not kept.
func (t *Translator) Translate(c *Container) (*Result, error) {
	tr, err := t.begin(c)
	if err != nil {
		return nil, fmt.Errorf("translate container %q: %w", c.ID, err)
	}
	// In containerd's order: a later step may undo an earlier one.
	steps := []func() error{
		tr.arguments, tr.environment, tr.workingDirectory, tr.stopSignal,
		tr.selinux, tr.namespaces, tr.mounts, tr.paths, tr.devices, tr.capabilities,
		tr.privileged, tr.resources, tr.oomScoreAdj, tr.cgroup, tr.refusedClasses, tr.annotations,
		tr.user, tr.apparmor, tr.seccompProfile, tr.cdiEdits,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			selinux.ReleaseLabel(tr.result.ProcessLabel)
			return nil, fmt.Errorf("translate container %q: %w", c.ID, err)
		}
	}
	tr.result.User = StatusUser(tr.spec) // a CDI device may have added groups
	return tr.result, nil
}

func (t *Translator) begin(c *Container) (*translation, error) {
	tr := &translation{Translator: t, c: c, config: c.Config, handler: c.Handler}
	if c.Pod == nil {
		tr.c = new(Container)
		*tr.c = *c
		tr.c.Pod = &Pod{}
	}
	if tr.handler == nil {
		tr.handler = &Handler{}
	}
	if c.Image != nil {
		tr.image = c.Image.Config
	}
	if err := t.CheckContainer(tr.c.Pod.Config, c.Config); err != nil {
		return nil, err
	}
	tr.security = c.Config.GetLinux().GetSecurityContext()
	spec, err := tr.base()
	if err != nil {
		return nil, err
	}
	spec.Root.Path = "rootfs"
	spec.Root.Readonly = spec.Root.Readonly || tr.security.GetReadonlyRootfs()
	spec.Process.NoNewPrivileges = tr.security.GetNoNewPrivs()
	tr.spec = spec
	tr.result = &Result{Spec: spec}
	return tr, nil
}

// paths are the masked and the read-only ones. An empty list of the request means none,
// since protobuf does not tell it from a missing one.
func (t *translation) paths() error {
	if t.node.DisableProcMount {
		return nil
	}
	t.spec.Linux.MaskedPaths = append([]string{}, t.security.GetMaskedPaths()...)
	t.spec.Linux.ReadonlyPaths = append([]string{}, t.security.GetReadonlyPaths()...)
	return nil
}

// privileged takes back what confines a container. Its devices are in devices, its
// namespaces in namespaces.
func (t *translation) privileged() error {
	if !t.security.GetPrivileged() {
		return nil
	}
	t.spec.Linux.MaskedPaths, t.spec.Linux.ReadonlyPaths = nil, nil
	t.spec.Linux.Seccomp = nil
	t.spec.Process.ApparmorProfile, t.spec.Process.SelinuxLabel = "", ""
	for _, m := range t.spec.Mounts {
		if m.Type != "sysfs" && m.Type != "cgroup" {
			continue
		}
		for i, o := range m.Options {
			if o == "ro" {
				m.Options[i] = "rw"
			}
		}
	}
	return nil
}

func (t *translation) cgroup() error {
	t.spec.Linux.CgroupsPath = t.c.CgroupsPath
	if t.c.CgroupsPath == "" {
		t.spec.Linux.CgroupsPath = path.Join("/", namespace, t.c.ID)
	}
	return nil
}
