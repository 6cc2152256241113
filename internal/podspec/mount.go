// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// mounts lists the file systems of every container, then the binds of request, pod and
// image, each below what it lies in.
func (t *translation) mounts() error {
	binds := t.binds()
	depth := func(b bind) int { return strings.Count(path.Clean(b.destination), "/") }
	slices.SortStableFunc(binds, func(a, b bind) int { return depth(a) - depth(b) })
	t.fileSystems(binds)
	for i := range binds {
		m, err := t.bindMount(&binds[i])
		if err != nil {
			return err
		}
		t.spec.Mounts = append(t.spec.Mounts, m)
	}
	return nil
}

// fileSystems are the mounts of the base spec and the cgroup mount, without those that a
// bind replaces. Who brings a /dev brings all of it.
func (t *translation) fileSystems(binds []bind) {
	taken := make(map[string]bool, len(binds))
	for _, b := range binds {
		taken[path.Clean(b.destination)] = true
	}
	var kept []specs.Mount
	for _, m := range append(t.spec.Mounts, t.cgroupMount()) {
		destination := path.Clean(m.Destination)
		if taken[destination] || taken["/dev"] && strings.HasPrefix(destination, "/dev/") {
			continue
		}
		if m.Type == "sysfs" && t.c.Pod.userNamespace() && t.c.Pod.hostNetwork() {
			m = hostSys(m.Destination)
		}
		kept = append(kept, m)
	}
	t.spec.Mounts = kept
}

// hostSys stands for a new sysfs, which only the owner of a network namespace may mount:
// a user namespace is not the owner of the host's.
func hostSys(destination string) specs.Mount {
	return specs.Mount{
		Source: "/sys", Destination: destination, Type: "bind",
		Options: []string{"rbind", "rro", "nosuid", "nodev", "noexec"},
	}
}

func (t *translation) cgroupMount() specs.Mount {
	mode := "ro"
	if t.handler.CgroupWritable {
		mode = "rw"
	}
	options := []string{"nosuid", "noexec", "nodev", "relatime", mode}
	if t.node.Unified && !t.hasNamespace(specs.CgroupNamespace) {
		for _, o := range t.node.CgroupMountOptions {
			if o == "nsdelegate" || o == "memory_recursiveprot" {
				options = append(options, o)
			}
		}
	}
	return specs.Mount{Source: "cgroup", Destination: "/sys/fs/cgroup", Type: "cgroup", Options: options}
}

// bind is one bind mount on its way to the spec.
type bind struct {
	*runtime.Mount
	source, destination string
	opaque              bool // the source's name is passed on as it is
}

// binds are those of the request, and those of pod and image that it does not replace.
func (t *translation) binds() []bind {
	taken := map[string]bool{}
	var binds []bind
	for _, m := range t.config.GetMounts() {
		b := bind{Mount: m, source: m.GetHostPath(), destination: m.GetContainerPath()}
		if m.GetImage() != nil {
			b.source, b.opaque = t.c.ImageMounts[m.GetContainerPath()], true
		}
		binds = append(binds, b)
		taken[path.Clean(m.GetContainerPath())] = true
	}
	for _, f := range t.podFiles() {
		if f.source != "" && !taken[f.destination] {
			binds = append(binds, f)
		}
	}
	for _, volume := range ImageVolumes(&t.node, t.config, t.c.Image) {
		uids, gids := t.podIDs()
		binds = append(binds, bind{
			Mount:  &runtime.Mount{SelinuxRelabel: true, UidMappings: uids, GidMappings: gids},
			source: t.volume(volume), destination: volume, opaque: true,
		})
	}
	return binds
}

// volume is the source of a volume of the image, which may name it in another way.
func (t *translation) volume(destination string) string {
	if source := t.c.Volumes[destination]; source != "" {
		return source
	}
	for name, source := range t.c.Volumes {
		if path.Clean("/"+name) == destination {
			return source
		}
	}
	return ""
}

// podFiles are made for the pod. They are writable unless the root file system is not,
// as /etc of an image is.
func (t *translation) podFiles() []bind {
	p, readonly := t.c.Pod, t.security.GetReadonlyRootfs()
	shm := p.SHM
	if shm == "" && p.hostIPC() {
		shm = hostSHM
	}
	file := func(source, destination string) bind {
		return bind{Mount: &runtime.Mount{Readonly: readonly, SelinuxRelabel: true}, source: source, destination: destination, opaque: true}
	}
	return []bind{
		file(p.Hostname, "/etc/hostname"), file(p.Hosts, "/etc/hosts"), file(p.ResolvConf, "/etc/resolv.conf"),
		{Mount: &runtime.Mount{SelinuxRelabel: shm != hostSHM}, source: shm, destination: hostSHM, opaque: true},
	}
}

const hostSHM = "/dev/shm"

func (t *translation) podIDs() (uids, gids []*runtime.IDMapping) {
	o := t.c.Pod.namespaceOptions().GetUsernsOptions()
	if !ownUserNamespace(o) {
		return nil, nil
	}
	return o.GetUids(), o.GetGids()
}

func (t *translation) bindMount(b *bind) (specs.Mount, error) {
	m := specs.Mount{Destination: b.destination, Type: "bind", Source: b.source}
	field := "mount " + b.destination
	if b.source == "" {
		return m, unready("%s: there is no source for this volume of an image", field)
	}
	if !b.opaque {
		var err error
		if m.Source, err = t.source(field, b.source); err != nil {
			return m, err
		}
	}
	propagation, err := t.propagation(field, b, m.Source)
	if err != nil {
		return m, err
	}
	readonly, err := t.readonly(field, b)
	if err != nil {
		return m, err
	}
	m.Options = append([]string{"rbind", propagation, readonly}, b.GetMountOptions()...)
	if b.GetSelinuxRelabel() && t.spec.Linux.MountLabel != "" && path.IsAbs(m.Source) {
		t.result.Relabel = append(t.result.Relabel, m.Source)
	}
	if b.GetImage() != nil {
		return m, nil // its layers are mapped already
	}
	if m.UIDMappings, err = idMap(field+": uid_mappings", b.GetUidMappings()); err != nil {
		return m, err
	}
	m.GIDMappings, err = idMap(field+": gid_mappings", b.GetGidMappings())
	return m, err
}

func (t *translation) readonly(field string, b *bind) (string, error) {
	switch {
	case !b.GetReadonly():
		return "rw", nil
	case !b.GetRecursiveReadOnly():
		return "ro", nil
	case !t.node.RecursiveReadOnly:
		return "", recursiveUnsupported(field)
	}
	return "rro", nil
}

// propagation also makes the root's as wide: package oci gives it to mounts that come later.
func (t *translation) propagation(field string, b *bind, source string) (string, error) {
	l := t.spec.Linux
	switch b.GetPropagation() {
	case runtime.MountPropagation_PROPAGATION_BIDIRECTIONAL:
		p, err := t.host.Propagation(source)
		if err != nil {
			return "", unready("%s: propagation: %v", field, err)
		}
		if !p.Shared {
			return "", unready("%s: propagation BIDIRECTIONAL: path %q is mounted on %q but it is not a shared mount", field, source, p.Mountpoint)
		}
		l.RootfsPropagation = "rshared"
		return "rshared", nil
	case runtime.MountPropagation_PROPAGATION_HOST_TO_CONTAINER:
		p, err := t.host.Propagation(source)
		if err != nil {
			return "", unready("%s: propagation: %v", field, err)
		}
		if !p.Shared && !p.Slave {
			return "", unready("%s: propagation HOST_TO_CONTAINER: path %q is mounted on %q but it is not a shared or slave mount", field, source, p.Mountpoint)
		}
		if l.RootfsPropagation != "rshared" {
			l.RootfsPropagation = "rslave"
		}
		return "rslave", nil
	}
	return "rprivate", nil
}
