// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"path"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/plan"
)

// defaultDevices are in every container: config-linux.md, "Default Devices". /dev/console and /dev/ptmx
// are not nodes: a terminal is bound on the first, the second is a link.
var defaultDevices = []specs.LinuxDevice{
	{Path: "/dev/null", Type: "c", Major: 1, Minor: 3},
	{Path: "/dev/zero", Type: "c", Major: 1, Minor: 5},
	{Path: "/dev/full", Type: "c", Major: 1, Minor: 7},
	{Path: "/dev/random", Type: "c", Major: 1, Minor: 8},
	{Path: "/dev/urandom", Type: "c", Major: 1, Minor: 9},
	{Path: "/dev/tty", Type: "c", Major: 5, Minor: 0},
}

// hostDev reports whether /dev is bound from the host, where nothing must be made.
func (t *translation) hostDev() bool {
	for _, b := range t.req.Binds {
		if t.plan.Mounts[b.Mount].Destination == "/dev" {
			return true
		}
	}
	return false
}

// devices lists the default devices and linux.devices, which come before a default of the
// same path.
func (t *translation) devices() error {
	wanted := t.linux.Devices
	for _, d := range defaultDevices {
		same := func(w specs.LinuxDevice) bool { return path.Clean(w.Path) == d.Path }
		if !slices.ContainsFunc(wanted, same) {
			wanted = append(wanted[:len(wanted):len(wanted)], d)
		}
	}
	seen := map[string]plan.Device{}
	for i := range wanted {
		d, err := planDevice(&wanted[i])
		if err != nil {
			return err
		}
		earlier, twice := seen[d.Path]
		if twice && earlier != d {
			return invalid("linux.devices: %q is listed twice with different values", d.Path)
		}
		seen[d.Path] = d
		if twice || t.hostDev() {
			continue
		}
		if err := t.addDevice(d); err != nil {
			return err
		}
	}
	return nil
}

// addDevice asks for the host's node where mknod is not allowed: a user namespace may
// make FIFOs only.
func (t *translation) addDevice(d plan.Device) error {
	if t.spaces.has(unix.CLONE_NEWUSER) && d.Mode&unix.S_IFMT != unix.S_IFIFO {
		if !exists(d.Path) {
			return notFound("linux.devices: %q: a container with a user namespace gets the host's node, which does not exist", d.Path)
		}
		if t.req.DeviceNodes == nil {
			t.req.DeviceNodes = make(map[int]string)
		}
		t.req.DeviceNodes[len(t.plan.Devices)] = d.Path
	}
	t.plan.Devices = append(t.plan.Devices, d)
	return nil
}

func planDevice(d *specs.LinuxDevice) (plan.Device, error) {
	out := plan.Device{Path: path.Clean(d.Path), FD: plan.NoFD, Mode: 0o666}
	if err := checkAbsolute("linux.devices", d.Path); err != nil {
		return out, err
	}
	if d.FileMode != nil {
		out.Mode = uint32(*d.FileMode) & 0o7777
	}
	if d.UID != nil {
		out.UID = *d.UID
	}
	if d.GID != nil {
		out.GID = *d.GID
	}
	kind, err := deviceType(d)
	if err != nil {
		return out, err
	}
	out.Mode |= kind
	if kind == unix.S_IFIFO {
		return out, nil
	}
	const maxMajor, maxMinor = 1<<12 - 1, 1<<20 - 1 // the kernel's dev_t
	if d.Major < 0 || d.Major > maxMajor || d.Minor < 0 || d.Minor > maxMinor {
		return out, invalid("linux.devices: %q: device number %d:%d is out of range", d.Path, d.Major, d.Minor)
	}
	out.Number = unix.Mkdev(uint32(d.Major), uint32(d.Minor))
	return out, nil
}

func deviceType(d *specs.LinuxDevice) (uint32, error) {
	switch d.Type {
	case "c", "u":
		return unix.S_IFCHR, nil
	case "b":
		return unix.S_IFBLK, nil
	case "p":
		return unix.S_IFIFO, nil
	}
	return 0, invalid("linux.devices: %q: unknown type %q, want c, u, b or p", d.Path, d.Type)
}

// links are the symbolic links of config-linux.md, "Dev symbolic links".
func (t *translation) links() error {
	if t.hostDev() {
		return nil
	}
	t.plan.Links = []plan.Link{
		{Target: "/proc/self/fd", Path: "/dev/fd"},
		{Target: "/proc/self/fd/0", Path: "/dev/stdin"},
		{Target: "/proc/self/fd/1", Path: "/dev/stdout"},
		{Target: "/proc/self/fd/2", Path: "/dev/stderr"},
		{Target: "pts/ptmx", Path: "/dev/ptmx"},
	}
	if t.opts.Host.KCore {
		t.plan.Links = append(t.plan.Links, plan.Link{Target: "/proc/kcore", Path: "/dev/core"})
	}
	return nil
}
