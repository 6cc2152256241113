// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// namespaces joins those of the pod. Network, IPC and UTS are the pod's whatever the
// container's options say; the UTS namespace goes with the network's.
func (t *translation) namespaces() error {
	t.shared(specs.NetworkNamespace, t.c.Pod.hostNetwork())
	t.shared(specs.IPCNamespace, t.c.Pod.hostIPC())
	t.shared(specs.UTSNamespace, t.c.Pod.hostNetwork())
	t.setNamespace(specs.MountNamespace, "")
	if err := t.pidNamespace(); err != nil {
		return err
	}
	t.userNamespace()
	// A container of cgroup v1 would see its own cgroup in /proc/self/cgroup and the host's
	// tree in its mounts, and a privileged one is to see the host's.
	if t.node.Unified && !t.security.GetPrivileged() {
		t.setNamespace(specs.CgroupNamespace, "")
	}
	return nil
}

// shared joins the pod's namespace of a type, or leaves the host's or makes a new one.
func (t *translation) shared(kind specs.LinuxNamespaceType, host bool) {
	ns := t.c.Pod.Namespaces[kind]
	if ns == "" && host {
		t.removeNamespace(kind)
		return
	}
	t.setNamespace(kind, ns)
}

func (t *translation) pidNamespace() error {
	switch o := t.security.GetNamespaceOptions(); o.GetPid() {
	case runtime.NamespaceMode_CONTAINER:
		t.setNamespace(specs.PIDNamespace, "")
	case runtime.NamespaceMode_POD:
		t.shared(specs.PIDNamespace, t.c.Pod.hostPID())
	case runtime.NamespaceMode_NODE:
		if !t.c.Pod.hostPID() {
			return invalid("namespace_options.pid: NODE in a pod that does not share the node's processes")
		}
		t.shared(specs.PIDNamespace, true)
	case runtime.NamespaceMode_TARGET:
		if t.c.TargetPID == "" {
			return invalid("namespace_options.target_id: %s is no running container of this pod", quoted(o.GetTargetId()))
		}
		t.setNamespace(specs.PIDNamespace, t.c.TargetPID)
	}
	return nil
}

// userNamespace joins the pod's. The maps go along for idmapped mounts.
func (t *translation) userNamespace() {
	if !t.c.Pod.userNamespace() {
		return
	}
	t.setNamespace(specs.UserNamespace, t.c.Pod.Namespaces[specs.UserNamespace])
	t.spec.Linux.UIDMappings = slices.Clone(t.c.Pod.UIDMappings)
	t.spec.Linux.GIDMappings = slices.Clone(t.c.Pod.GIDMappings)
}

func (t *translation) setNamespace(kind specs.LinuxNamespaceType, path string) {
	list := t.spec.Linux.Namespaces
	for i := range list {
		if list[i].Type == kind {
			list[i].Path = path
			return
		}
	}
	t.spec.Linux.Namespaces = append(list, specs.LinuxNamespace{Type: kind, Path: path})
}

func (t *translation) removeNamespace(kind specs.LinuxNamespaceType) {
	t.spec.Linux.Namespaces = slices.DeleteFunc(t.spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind })
}

func (t *translation) hasNamespace(kind specs.LinuxNamespaceType) bool {
	return slices.ContainsFunc(t.spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind })
}

// checkNamespaces is for the options of a pod and of a container.
func checkNamespaces(field string, o *runtime.NamespaceOption) error {
	for _, mode := range []struct {
		name string
		mode runtime.NamespaceMode
	}{{"network", o.GetNetwork()}, {"pid", o.GetPid()}, {"ipc", o.GetIpc()}} {
		if _, ok := runtime.NamespaceMode_name[int32(mode.mode)]; !ok {
			return invalid("%s.%s: unknown mode %d", field, mode.name, mode.mode)
		}
	}
	if o.GetNetwork() == runtime.NamespaceMode_TARGET || o.GetIpc() == runtime.NamespaceMode_TARGET {
		return invalid("%s: TARGET is for pid alone", field)
	}
	if err := checkName(field+".target_id", o.GetTargetId()); err != nil {
		return err
	}
	return checkUserNamespace(field+".userns_options", o.GetUsernsOptions())
}

func checkUserNamespace(field string, o *runtime.UserNamespace) error {
	mapped := len(o.GetUids())+len(o.GetGids()) > 0
	switch o.GetMode() {
	case runtime.NamespaceMode_NODE:
		if mapped {
			return invalid("%s: mappings without a user namespace (NODE)", field)
		}
	case runtime.NamespaceMode_POD:
		if o == nil {
			return nil
		}
		// One line each: the layers of an image are mapped by a single range.
		if len(o.GetUids()) != 1 || len(o.GetGids()) != 1 {
			return invalid("%s: %d uid and %d gid mappings; a user namespace needs one of each", field, len(o.GetUids()), len(o.GetGids()))
		}
		if o.GetUids()[0].GetContainerId() != 0 || o.GetGids()[0].GetContainerId() != 0 {
			return invalid("%s: id 0 of the containers is not mapped; setting them up needs it", field)
		}
		if _, err := idMap(field+".uids", o.GetUids()); err != nil {
			return err
		}
		_, err := idMap(field+".gids", o.GetGids())
		return err
	default:
		return invalid("%s.mode: %s is not supported, want POD or NODE", field, o.GetMode())
	}
	return nil
}

// sameUserNamespace compares the options of a pod and of a container. None is NODE.
func sameUserNamespace(a, b *runtime.UserNamespace) bool {
	if !ownUserNamespace(a) || !ownUserNamespace(b) {
		return ownUserNamespace(a) == ownUserNamespace(b)
	}
	same := func(x, y *runtime.IDMapping) bool {
		return x.GetContainerId() == y.GetContainerId() && x.GetHostId() == y.GetHostId() && x.GetLength() == y.GetLength()
	}
	return slices.EqualFunc(a.GetUids(), b.GetUids(), same) && slices.EqualFunc(a.GetGids(), b.GetGids(), same)
}

// IDMappings are the maps of a pod's user namespace, empty without one.
func IDMappings(cfg *runtime.PodSandboxConfig) (uids, gids []specs.LinuxIDMapping) {
	o := cfg.GetLinux().GetSecurityContext().GetNamespaceOptions().GetUsernsOptions()
	if !ownUserNamespace(o) {
		return nil, nil
	}
	uids, _ = idMap("", o.GetUids()) // checked by CheckPod
	gids, _ = idMap("", o.GetGids())
	return uids, gids
}

// idMap translates and checks one map.
func idMap(field string, list []*runtime.IDMapping) ([]specs.LinuxIDMapping, error) {
	const maxLines = 340          // user_namespaces(7)
	const end = uint64(1)<<32 - 1 // (uid_t)-1 is no id
	if len(list) > maxLines {
		return nil, invalid("%s: %d lines; the kernel takes %d", field, len(list), maxLines)
	}
	var out []specs.LinuxIDMapping
	for _, m := range list {
		if m.GetLength() == 0 {
			return nil, invalid("%s: a mapping of length 0", field)
		}
		if uint64(m.GetContainerId())+uint64(m.GetLength()) > end || uint64(m.GetHostId())+uint64(m.GetLength()) > end {
			return nil, invalid("%s: %d:%d:%d reaches beyond the last id", field, m.GetContainerId(), m.GetHostId(), m.GetLength())
		}
		out = append(out, specs.LinuxIDMapping{ContainerID: m.GetContainerId(), HostID: m.GetHostId(), Size: m.GetLength()})
	}
	return out, nil
}
