// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/sardine-run/sardine/internal/kernel"
	"golang.org/x/sys/unix"
)

// inside keeps a thread of the test in c's cgroups until the returned function is called.
func inside(t *testing.T, c *Cgroup) (leave func()) {
	t.Helper()
	entered, release := make(chan error), make(chan struct{})
	go kernel.OnThread(func() {
		entered <- c.Enter()
		<-release
	})
	if err := <-entered; err != nil {
		t.Fatal(err)
	}
	return func() { close(release) }
}

// TestKillSparesTheDaemon: v1 lists a process as soon as one of its threads is inside.
func TestKillSparesTheDaemon(t *testing.T) {
	h := detect(t)
	c := newCgroup(t, h, testConfig())
	leave := inside(t, c)
	defer leave()
	if err := c.Kill(); err != nil {
		t.Error(err)
	}
	if err := c.Signal(unix.SIGKILL); err != nil {
		t.Error(err)
	}
	if pids, err := c.Pids(); err != nil || len(pids) != 0 {
		t.Errorf("Pids: %v, %v, want none (the test is %d)", pids, err, os.Getpid())
	}
}

// TestFreezeWaitsForEnteredThreads: a frozen thread would stop the world for good.
func TestFreezeWaitsForEnteredThreads(t *testing.T) {
	h := detect(t)
	if h.Mode() == Unified {
		t.Skip("threads enter nothing on cgroup v2")
	}
	c := newCgroup(t, h, testConfig())
	leave := inside(t, c)
	frozen := make(chan error)
	go func() { frozen <- c.Freeze(context.Background()) }()
	select {
	case err := <-frozen:
		t.Errorf("Freeze did not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	leave()
	if err := <-frozen; err != nil {
		t.Fatal(err)
	}
	if err := entered(c); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("Enter of a frozen cgroup: %v, want ErrFailedPrecondition", err)
	}
	if err := c.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := entered(c); err != nil {
		t.Error(err)
	}
}

func TestEnterRefusesTheMainThread(t *testing.T) {
	h := detect(t)
	if h.Mode() == Unified {
		t.Skip("threads enter nothing on cgroup v2")
	}
	c := newCgroup(t, h, testConfig())
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{"CGROUP_TEST_ROLE=main", "CGROUP_TEST_PATH=" + c.path}
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "main thread") {
		t.Errorf("%v: %s", err, out)
	}
}

// While package variables are initialised, the Go runtime is on the main thread.
var _ = enterAtInit()

func enterAtInit() any {
	if os.Getenv("CGROUP_TEST_ROLE") != "main" {
		return nil
	}
	h, err := Detect()
	if err == nil {
		c := &Cgroup{host: h, path: os.Getenv("CGROUP_TEST_PATH")}
		err = c.Enter()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
	return nil
}
