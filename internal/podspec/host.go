// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/moby/sys/mountinfo"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Host is what a translation looks up on the node. Every function may be called from
// several goroutines.
type Host struct {
	Hostname func() (string, error)
	// Devices are all device nodes below /dev, apart from pts and the console.
	Devices func() ([]specs.LinuxDevice, error)
	// DevicesAt is the device node at path or, if that is a directory, all below it,
	// named as below containerPath unless that is empty.
	DevicesAt func(path, containerPath string) ([]specs.LinuxDevice, error)
	// Resolve follows every symbolic link of an absolute path. fs.ErrNotExist.
	Resolve func(path string) (string, error)
	// Propagation is that of the mount which path, without links, is on.
	Propagation func(path string) (Propagation, error)
	// ReadFile reads a seccomp profile.
	ReadFile func(path string) ([]byte, error)
	// AppArmorLoaded tells whether the kernel knows the profile.
	AppArmorLoaded func(profile string) (bool, error)
}

// Propagation is how a mount of the host passes on mounts: mount_namespaces(7).
type Propagation struct {
	Mountpoint    string
	Shared, Slave bool
}

// LocalHost looks at the node the daemon runs on.
func LocalHost() Host {
	return Host{
		Hostname:       os.Hostname,
		Devices:        oci.HostDevices,
		DevicesAt:      devicesAt,
		Resolve:        filepath.EvalSymlinks,
		Propagation:    propagationOf,
		ReadFile:       readProfile,
		AppArmorLoaded: apparmorLoaded,
	}
}

// orLocal fills in what is missing.
func (h Host) orLocal() Host {
	local := LocalHost()
	if h.Hostname == nil {
		h.Hostname = local.Hostname
	}
	if h.Devices == nil {
		h.Devices = local.Devices
	}
	if h.DevicesAt == nil {
		h.DevicesAt = local.DevicesAt
	}
	if h.Resolve == nil {
		h.Resolve = local.Resolve
	}
	if h.Propagation == nil {
		h.Propagation = local.Propagation
	}
	if h.ReadFile == nil {
		h.ReadFile = local.ReadFile
	}
	if h.AppArmorLoaded == nil {
		h.AppArmorLoaded = local.AppArmorLoaded
	}
	return h
}

func devicesAt(path, containerPath string) ([]specs.LinuxDevice, error) {
	s := &specs.Spec{Linux: &specs.Linux{Resources: &specs.LinuxResources{}}}
	// The permissions only reach the cgroup rules, which are made elsewhere.
	if err := oci.WithDevices(path, containerPath, "rwm")(context.Background(), nil, nil, s); err != nil {
		return nil, err
	}
	return s.Linux.Devices, nil
}

// propagationOf finds the mount by its path: the source may not exist yet.
func propagationOf(path string) (Propagation, error) {
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) { return !isBelow(path, m.Mountpoint), false })
	if err != nil {
		return Propagation{}, fmt.Errorf("read the host's mounts: %w", err)
	}
	var p Propagation
	found := false
	for _, m := range mounts {
		if found && len(m.Mountpoint) < len(p.Mountpoint) {
			continue // a later one of the same path lies on top
		}
		found = true
		p = Propagation{Mountpoint: m.Mountpoint}
		for tag := range strings.FieldsSeq(m.Optional) {
			p.Shared = p.Shared || strings.HasPrefix(tag, "shared:")
			p.Slave = p.Slave || strings.HasPrefix(tag, "master:")
		}
	}
	if !found {
		return p, fmt.Errorf("no mount of the host holds %q", path)
	}
	return p, nil
}

// isBelow goes by elements, unlike the library's filter: /ab is not below /a.
func isBelow(path, mountpoint string) bool {
	return path == mountpoint || strings.HasPrefix(path, strings.TrimSuffix(mountpoint, "/")+"/")
}

// maxProfile is far above what a profile of rules for every system call takes.
const maxProfile = 1 << 20

func readProfile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO would wait for a writer
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is not a regular file", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxProfile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxProfile {
		return nil, fmt.Errorf("%q has more than %d bytes", path, maxProfile)
	}
	return b, nil
}

// apparmorLoaded looks for a line "NAME (MODE)".
func apparmorLoaded(profile string) (bool, error) {
	f, err := os.Open("/sys/kernel/security/apparmor/profiles")
	if err != nil {
		return false, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), profile+" (") {
			return true, nil
		}
	}
	return false, lines.Err()
}
