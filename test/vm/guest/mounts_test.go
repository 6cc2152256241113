// SPDX-License-Identifier: Apache-2.0

//go:build vm

package guest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// mayMount is what mounting takes beside being root.
func mayMount(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
	for _, set := range []*[]string{
		&s.Process.Capabilities.Bounding, &s.Process.Capabilities.Effective, &s.Process.Capabilities.Permitted,
	} {
		*set = append(*set, "CAP_SYS_ADMIN")
	}
	return nil
}

// volume binds a directory of the host's, which systemd made a shared mount, at /tmp.
func volume(t *testing.T, options ...string) (string, oci.SpecOpts) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, oci.WithMounts([]specs.Mount{{
		Destination: "/tmp", Type: "bind", Source: dir, Options: append([]string{"rbind"}, options...),
	}})
}

// Under systemd every mount of the host is shared: what is mounted in a copy of
// one appears in the original, unless somebody cut the copy off.
func TestMountsStayInside(t *testing.T) {
	for _, c := range []struct {
		name, propagation string
		reaches           bool
	}{
		{"nothing said", "", false},
		{"private", "rprivate", false},
		{"slave", "rslave", false},
		{"shared", "rshared", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var options []string
			if c.propagation != "" {
				options = []string{c.propagation}
			}
			dir, bind := volume(t, options...)
			d := startDaemon(t)
			before := readFile(t, "/proc/self/mountinfo")
			b := d.run(cgroupfs, "mount -t tmpfs inside /tmp/below && echo mounted; exec sleep 1000", mayMount, bind)
			b.says("mounted")
			after := readFile(t, "/proc/self/mountinfo")
			if reaches := strings.Contains(after, dir+"/below"); reaches != c.reaches {
				t.Errorf("the container's mount reaches the host: %v, want %v", reaches, c.reaches)
			}
			if !c.reaches && after != before {
				t.Errorf("the host's mounts were\n%s\nand are\n%s", before, after)
			}
			if status, out := b.exec("umount /tmp/below"); status != 0 {
				t.Errorf("umount: %s", out)
			}
		})
	}
}
