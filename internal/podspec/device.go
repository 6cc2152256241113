// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// devices adds those of the request, each with a rule of the device cgroup, and for a
// privileged container all of the host.
func (t *translation) devices() error {
	for i, d := range t.config.GetDevices() {
		if err := t.device(i, d); err != nil {
			return err
		}
	}
	if !t.security.GetPrivileged() {
		return nil
	}
	if !t.handler.PrivilegedWithoutHostDevices {
		if err := t.hostDevices(); err != nil {
			return err
		}
	}
	if !t.handler.PrivilegedWithoutHostDevices || t.handler.PrivilegedAllDevicesAllowed {
		t.spec.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	}
	return nil
}

func (t *translation) device(i int, d *runtime.Device) error {
	source, err := t.host.Resolve(d.GetHostPath())
	if err != nil {
		return unready("devices[%d].host_path: %v", i, err)
	}
	nodes, err := t.host.DevicesAt(source, d.GetContainerPath())
	if err != nil {
		return unready("devices[%d].host_path: %q: %v", i, d.GetHostPath(), err)
	}
	for _, n := range nodes {
		t.ownDevice(&n)
		if err := t.addDevice(i, n); err != nil {
			return err
		}
		// Copies: an NRI plugin may change the device.
		major, minor := n.Major, n.Minor
		t.spec.Linux.Resources.Devices = append(t.spec.Linux.Resources.Devices, specs.LinuxDeviceCgroup{
			Allow: true, Type: n.Type, Major: &major, Minor: &minor, Access: d.GetPermissions(),
		})
	}
	return nil
}

// ownDevice gives a device to the container's user, where the configuration wishes it.
func (t *translation) ownDevice(n *specs.LinuxDevice) {
	if !t.node.DeviceOwnership {
		return
	}
	if uid := uint32(t.security.GetRunAsUser().GetValue()); uid != 0 {
		n.UID = &uid
	}
	if gid := uint32(t.security.GetRunAsGroup().GetValue()); gid != 0 {
		n.GID = &gid
	}
}

// addDevice lists a node once: two device plugins may hand out the same one.
func (t *translation) addDevice(i int, n specs.LinuxDevice) error {
	n.Path = path.Clean(n.Path)
	for _, have := range t.spec.Linux.Devices {
		if path.Clean(have.Path) != n.Path {
			continue
		}
		if have.Type != n.Type || have.Major != n.Major || have.Minor != n.Minor {
			return invalid("devices[%d].container_path: %s is taken by another device", i, quoted(n.Path))
		}
		return nil
	}
	t.spec.Linux.Devices = append(t.spec.Linux.Devices, n)
	return nil
}

// hostDevices adds all of the host whose place is not taken.
func (t *translation) hostDevices() error {
	all, err := t.host.Devices()
	if err != nil {
		return unready("privileged: the host's devices: %v", err)
	}
	taken := make(map[string]bool, len(t.spec.Linux.Devices))
	for _, d := range t.spec.Linux.Devices {
		taken[path.Clean(d.Path)] = true
	}
	for _, d := range all {
		if !taken[path.Clean(d.Path)] {
			t.spec.Linux.Devices = append(t.spec.Linux.Devices, d)
		}
	}
	return nil
}

func checkDevices(list []*runtime.Device) error {
	for i, d := range list {
		if err := checkPath("devices.host_path", d.GetHostPath()); err != nil {
			return err
		}
		if d.GetContainerPath() != "" {
			if err := checkPath("devices.container_path", d.GetContainerPath()); err != nil {
				return err
			}
		}
		p := d.GetPermissions()
		if p == "" || len(p) > 3 || strings.Trim(p, "rwm") != "" {
			return invalid("devices[%d].permissions: %s is not made of r, w and m", i, quoted(p))
		}
	}
	return nil
}
