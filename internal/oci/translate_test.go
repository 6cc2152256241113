// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/plan"
	"github.com/sardine-run/sardine/internal/rootfs"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// testOptions are those of a host on which everything is allowed.
func testOptions() Options {
	return Options{
		ID: "c1", Bundle: "/run/bundle",
		Rootfs: []rootfs.Mount{{Type: "overlay", Source: "overlay", Options: []string{"lowerdir=/l", "upperdir=/u", "workdir=/w"}}},
		Cgroup: Cgroup{Hierarchies: []plan.Pair{{Key: "memory", Value: "/sys/fs/cgroup/memory/c1"}, {Key: "cpu,cpuacct", Value: "/sys/fs/cgroup/cpu,cpuacct/c1"}}},
		Host:   testHost(),
	}
}

func testHost() Host {
	h := Host{LastCap: 40, Capabilities: 1<<41 - 1, StackLimit: 8 << 20, KCore: true, TimeAtExec: true}
	for i := range h.HardLimits {
		h.HardLimits[i] = unix.RLIM_INFINITY
	}
	return h
}

// readSpec reads a spec of testdata.
func readSpec(t testing.TB, name string) *specs.Spec {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var s specs.Spec
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

// TestGolden compares whole Requests with what was reviewed: run with -update after a
// change and read the difference.
func TestGolden(t *testing.T) {
	for _, name := range []string{"containerd-default", "kubernetes"} {
		t.Run(name, func(t *testing.T) {
			req, warnings, err := Translate(readSpec(t, name+".json"), testOptions())
			if err != nil {
				t.Fatal(err)
			}
			if len(warnings) != 0 {
				t.Errorf("warnings: %q", warnings)
			}
			got, err := json.MarshalIndent(req, "", "\t")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			golden := filepath.Join("testdata", name+".golden.json")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("differs from %s; run go test -update and look at the difference\n%s", golden, got)
			}
		})
	}
}
