// SPDX-License-Identifier: Apache-2.0

//go:build vm

package guest

import (
	"context"
	"testing"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// openFuse makes and opens a device that no container gets by itself: making
// one is allowed by default, to open it is not. This one needs no capability to
// be opened. The exit status is 0 if it was.
const openFuse = `rm -f /dev/shm/fuse; mknod /dev/shm/fuse c 10 229 && : </dev/shm/fuse`

// allowFuse is one more rule after the default ones.
func allowFuse(access string) oci.SpecOpts {
	return func(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
		major, minor := int64(10), int64(229)
		s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, specs.LinuxDeviceCgroup{
			Allow: true, Type: "c", Major: &major, Minor: &minor, Access: access,
		})
		return nil
	}
}

// devShm is where devices may be made and opened; the default one is nodev.
func devShm(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
	for i, m := range s.Mounts {
		if m.Destination == "/dev/shm" {
			s.Mounts[i].Options = []string{"mode=1777", "size=65536k"}
		}
	}
	return nil
}

// The filter is a program on the cgroup: permissions and capabilities would let
// root open every device of this table, since it made them itself.
func TestDeviceFilter(t *testing.T) {
	for _, c := range []struct {
		name, script string
		opts         []oci.SpecOpts
		opens        bool
	}{
		{"null", `: >/dev/null && head -c 1 /dev/zero | wc -c`, nil, true},
		{"not allowed", openFuse, nil, false},
		{"allowed", openFuse, []oci.SpecOpts{allowFuse("rwm")}, true},
		{"allowed to read", openFuse, []oci.SpecOpts{allowFuse("r")}, true},
		{"not to write", `mknod /dev/shm/fuse c 10 229 && : >/dev/shm/fuse`, []oci.SpecOpts{allowFuse("r")}, false},
		{"not to read", openFuse, []oci.SpecOpts{allowFuse("w")}, false},
		{"disk", `mknod /dev/shm/vda b 254 0 && : </dev/shm/vda`, nil, false},
		{"all", openFuse, []oci.SpecOpts{oci.WithAllDevicesAllowed}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			onEachDriver(t, func(t *testing.T, drv driver) {
				b := startDaemon(t).run(drv, c.script, append([]oci.SpecOpts{devShm}, c.opts...)...)
				if opens := b.status() == 0; opens != c.opens {
					t.Errorf("opened: %v, want %v; printed: %s", opens, c.opens, b.out)
				}
			})
		})
	}
}

// The rules hold for what is executed later, too.
func TestDeviceFilterOnExec(t *testing.T) {
	onEachDriver(t, func(t *testing.T, drv driver) {
		b := startDaemon(t).run(drv, "sleep 1000", devShm)
		if status, out := b.exec(openFuse); status == 0 {
			t.Errorf("an exec opened /dev/fuse: %s", out)
		}
		if status, out := b.exec(": </dev/null"); status != 0 {
			t.Errorf("an exec can't open /dev/null: %s", out)
		}
	})
}
