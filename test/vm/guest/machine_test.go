// SPDX-License-Identifier: Apache-2.0

//go:build vm

package guest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMain refuses to run on a machine that is not ours to change.
func TestMain(m *testing.M) {
	if os.Getenv("SARDINE_VM") == "" {
		println("these tests change the machine; run them with test/vm/run")
		os.Exit(1)
	}
	if err := makeRootfs(); err != nil {
		println(err.Error())
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// rootfs is the root file system of every container here, never written to.
const rootfs = "/var/lib/guest-rootfs"

// makeRootfs fills it with busybox under the names it knows.
func makeRootfs() error {
	for _, dir := range []string{"bin", "dev", "proc", "sys", "tmp", "run", "etc"} {
		if err := os.MkdirAll(filepath.Join(rootfs, dir), 0o755); err != nil {
			return err
		}
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return err
	}
	if err := os.WriteFile(rootfs+"/bin/busybox", busybox, 0o755); err != nil {
		return err
	}
	return exec.Command("chroot", rootfs, "/bin/busybox", "--install", "-s", "/bin").Run()
}

// TestMachine checks that the machine is what the other tests prove things on.
func TestMachine(t *testing.T) {
	controllers := strings.Fields(readFile(t, "/sys/fs/cgroup/cgroup.controllers"))
	for _, want := range []string{"cpuset", "cpu", "io", "memory", "pids"} {
		if !slices.Contains(controllers, want) {
			t.Errorf("the root cgroup has no %s controller: %q", want, controllers)
		}
	}
	if release := readFile(t, "/proc/sys/kernel/osrelease"); !strings.HasPrefix(release, "6.1.") {
		t.Errorf("kernel %s, want 6.1", release)
	}
	if state, err := exec.Command("systemctl", "is-system-running").CombinedOutput(); err != nil {
		failed, _ := exec.Command("systemctl", "--failed", "--no-legend").CombinedOutput()
		t.Errorf("systemd is %s%s", state, failed)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}
