// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// TestSuiteInOtherModes runs this whole package's tests again in private mount namespaces
// in which the same kernel looks like a Legacy and like a Unified host. The unified one
// has no controllers (v1 holds them), so limits are skipped there.
func TestSuiteInOtherModes(t *testing.T) {
	if os.Getenv("CGROUP_TEST_MODE") != "" {
		t.Skip("is the suite in another mode already")
	}
	if h := detect(t); h.Mode() != Hybrid {
		t.Skipf("only a hybrid host can play the other modes, this one is %s", h.Mode())
	}
	for _, mode := range []Mode{Legacy, Unified} {
		t.Run(string(mode), func(t *testing.T) { runSuite(t, mode) })
	}
}

func runSuite(t *testing.T, mode Mode) {
	cmd := exec.Command("/proc/self/exe", "-test.v", "-test.timeout=5m") // some of testnode.Patience: a test says itself what it waits for
	cmd.Env = append(os.Environ(), "CGROUP_TEST_MODE="+string(mode))
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	passed := strings.Count(string(out), "--- PASS")
	if err != nil || passed < 10 {
		t.Fatalf("%v, %d tests passed\n%s", err, passed, withoutPasses(string(out)))
	}
	t.Logf("%d passed, %d skipped", passed, strings.Count(string(out), "--- SKIP"))
}

func withoutPasses(out string) string {
	var kept strings.Builder
	for line := range strings.Lines(out) {
		if !strings.Contains(line, "--- PASS") && !strings.Contains(line, "=== RUN") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// arrange changes the mounts of the test's own mount namespace.
func arrange(mode Mode) error {
	switch mode {
	case Legacy:
		return unix.Unmount("/sys/fs/cgroup/unified", unix.MNT_DETACH)
	case Unified:
		if err := unix.Unmount("/sys/fs/cgroup", unix.MNT_DETACH); err != nil {
			return fmt.Errorf("umount: %w", err)
		}
		return unix.Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, "")
	}
	return nil
}

func TestDetect(t *testing.T) {
	h := detect(t)
	if want := os.Getenv("CGROUP_TEST_MODE"); want != "" && string(h.Mode()) != want {
		t.Fatalf("Mode: %s, want %s", h.Mode(), want)
	}
	for _, m := range h.Mounts() {
		t.Logf("%+v", m)
		if _, err := os.Stat(m.Mountpoint + "/cgroup.procs"); err != nil {
			t.Error(err)
		}
	}
}

func TestSelectMounts(t *testing.T) {
	own := map[string]string{"cpu": "/", "cpuacct": "/", "memory": "/x", "name=systemd": "/", "": "/"}
	v1 := func(point, root, options string) *mountinfo.Info {
		return &mountinfo.Info{Mountpoint: point, Root: root, FSType: "cgroup", VFSOptions: options}
	}
	v2 := func(point string) *mountinfo.Info {
		return &mountinfo.Info{Mountpoint: point, Root: "/", FSType: "cgroup2", VFSOptions: "rw"}
	}
	for name, test := range map[string]struct {
		mounts []*mountinfo.Info
		want   string
	}{
		"none":        {nil, ""},
		"co-mounted":  {[]*mountinfo.Info{v1("/c/cpu,cpuacct", "/", "rw,cpu,cpuacct")}, "/c/cpu,cpuacct[cpu cpuacct]"},
		"twice":       {[]*mountinfo.Info{v1("/c/memory", "/", "rw,memory"), v1("/elsewhere", "/", "rw,memory")}, "/c/memory[memory]"},
		"named":       {[]*mountinfo.Info{v1("/c/systemd", "/", "rw,xattr,name=systemd")}, "/c/systemd[name=systemd]"},
		"nameless":    {[]*mountinfo.Info{v1("/c/x", "/", "rw,unknown")}, ""},
		"hybrid":      {[]*mountinfo.Info{v1("/c/memory", "/docker/1", "rw,memory"), v2("/c/unified")}, "/c/memory[memory] /c/unified[]"},
		"unified":     {[]*mountinfo.Info{v1("/old/memory", "/", "rw,memory"), v2("/sys/fs/cgroup")}, "/sys/fs/cgroup[]"},
		"two unified": {[]*mountinfo.Info{v2("/a"), v2("/b")}, "/a[]"},
	} {
		var got []string
		for _, m := range selectMounts(test.mounts, own) {
			got = append(got, m.Mountpoint+fmt.Sprint(m.Controllers))
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
