// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/testnode"
)

// TestTenant looks at a tenant from outside: this test binary becomes one, as
// floor itself does.
func TestTenant(t *testing.T) {
	testnode.NeedRoot(t)
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	cgroup := fmt.Sprintf("/sardine-floor-%d-", os.Getpid())
	testnode.CheckClean(t, testnode.Options{Dirs: []string{tmp}, Cgroups: []string{cgroup + "0", cgroup + "1"}, Files: []string{tmp}})
	for _, one := range []bool{false, true} {
		h, err := newHouse(one, "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := h.remove(); err != nil {
				t.Error(err)
			}
		})
		for range 2 {
			if err := h.let(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		checkTenant(t, h, h.tenants[1], cgroup+"1")
		if err := h.remove(); err != nil {
			t.Error(err)
		}
		h.tenants, h.names = nil, nil
	}
}

func checkTenant(t *testing.T, h *house, pid int, cgroup string) {
	t.Helper()
	proc := fmt.Sprintf("/proc/%d/", pid)
	for _, kind := range []string{"mnt", "pid", "uts", "ipc", "cgroup"} {
		its, err := os.Readlink(proc + "ns/" + kind)
		if err != nil {
			t.Fatal(err)
		}
		if ours, err := os.Readlink("/proc/self/ns/" + kind); err != nil || ours == its {
			t.Errorf("it has our %s namespace (%v)", kind, err)
		}
	}
	// The kernel closes what ends with the old program before it tells the arguments of the new one.
	testnode.Eventually(t, "it runs sleep", func() bool {
		program, err := os.ReadFile(proc + "cmdline")
		if err != nil {
			t.Fatal(err)
		}
		return strings.HasPrefix(string(program), "sleep\x00")
	})
	cgroups, err := os.ReadFile(proc + "cgroup")
	if got := strings.Count(string(cgroups), cgroup+"\n"); err != nil || got != len(h.cgroups) {
		t.Errorf("it is in %d cgroups of its own, %v; want %d: %s", got, err, len(h.cgroups), cgroups)
	}
	mountinfo, err := os.ReadFile(proc + "mountinfo")
	for _, want := range []string{" / / ", " / /proc ", " / /dev/pts ", " / /dev/shm ", " / /dev/mqueue ", " / /sys ", " /proc/sys "} {
		if !strings.Contains(string(mountinfo), want) {
			t.Errorf("no mount %q (%v):\n%s", want, err, mountinfo)
		}
	}
	if err := unix.Access(filepath.Join(proc, "root/dev/null"), unix.W_OK); err != nil {
		t.Errorf("its /dev/null: %v", err)
	}
}
