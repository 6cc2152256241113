// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/testnode"
)

func TestBornInEveryHierarchy(t *testing.T) {
	h := detect(t)
	c := newCgroup(t, h, testConfig())
	p := spawn(t, c, "sleep")
	in, err := cgroups.ParseCgroupFile("/proc/" + strconv.Itoa(p.Pid) + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for _, hier := range h.all() {
		if got := in[hier.name()]; got != c.Path() {
			t.Errorf("hierarchy %q: child is in %q, want %q", hier.name(), got, c.Path())
		}
	}
	pids, err := c.Pids()
	if err != nil || len(pids) != 1 || pids[0] != p.Pid {
		t.Errorf("Pids: %v, %v, want [%d]", pids, err, p.Pid)
	}
}

func TestEnteringThreadLeavesTheDaemonOutside(t *testing.T) {
	h := detect(t)
	before := readFile(t, "/proc/self/cgroup")
	c := newCgroup(t, h, testConfig())
	spawn(t, c, "sleep")
	if after := readFile(t, "/proc/self/cgroup"); after != before {
		t.Errorf("the daemon moved:\n%s\nwas\n%s", after, before)
	}
}

func TestAttachSkipsNothingAndRepeats(t *testing.T) {
	h := detect(t)
	c := newCgroup(t, h, testConfig())
	other := newCgroup(t, h, testConfig())
	p := spawn(t, other, "sleep")
	for range 2 {
		if err := c.Attach(p.Pid); err != nil {
			t.Fatal(err)
		}
	}
	in, err := cgroups.ParseCgroupFile("/proc/" + strconv.Itoa(p.Pid) + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range in {
		if hier := h.v1Of(name); (hier != nil || name == "" && h.unified != nil) && got != c.Path() {
			t.Errorf("%q: %q, want %q", name, got, c.Path())
		}
	}
}

func TestKillAll(t *testing.T) {
	h := detect(t)
	for _, frozen := range []bool{false, true} {
		t.Run("frozen="+strconv.FormatBool(frozen), func(t *testing.T) {
			c := newCgroup(t, h, testConfig())
			p := spawn(t, c, "fork")
			testnode.Eventually(t, "two processes", func() bool { pids, _ := c.Pids(); return len(pids) == 2 })
			if frozen {
				if err := c.Freeze(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Kill(); err != nil {
				t.Fatal(err)
			}
			testnode.Eventually(t, "no process", func() bool { pids, _ := c.Pids(); return len(pids) == 0 })
			state, err := p.Wait()
			if err != nil || state.ExitCode() != -1 {
				t.Errorf("Wait: %v, %v", state, err)
			}
		})
	}
}

func TestKillWithoutCgroupKill(t *testing.T) {
	h := detect(t)
	c := newCgroup(t, h, testConfig())
	spawn(t, c, "fork")
	testnode.Eventually(t, "two processes", func() bool { pids, _ := c.Pids(); return len(pids) == 2 })
	if err := c.killFrozen(); err != nil {
		t.Fatal(err)
	}
	testnode.Eventually(t, "no process", func() bool { pids, _ := c.Pids(); return len(pids) == 0 })
}

func TestKillFindsAProcessThatLeftTheUnifiedHierarchy(t *testing.T) {
	h := detect(t)
	if h.Mode() != Hybrid {
		t.Skip("only a hybrid host has processes with two memberships, this one is " + string(h.Mode()))
	}
	c := newCgroup(t, h, testConfig())
	p := spawn(t, c, "sleep")
	if err := h.unified.write("cgroup.procs", strconv.Itoa(p.Pid)); err != nil {
		t.Fatal(err)
	}
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	testnode.Eventually(t, "no process", func() bool { pids, _ := c.Pids(); return len(pids) == 0 })
}

func TestSignal(t *testing.T) {
	h := detect(t)
	c := newCgroup(t, h, testConfig())
	p := spawn(t, c, "sleep")
	if err := c.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	state, err := p.Wait()
	if err != nil || state.Sys().(interface{ Signal() unix.Signal }).Signal() != unix.SIGTERM {
		t.Errorf("Wait: %v, %v, want killed by SIGTERM", state, err)
	}
}

func TestFreezeThaw(t *testing.T) {
	h := detect(t)
	c := newCgroup(t, h, testConfig())
	spawn(t, c, "sleep")
	start := time.Now()
	for _, want := range []bool{true, false, true, false} {
		change := func() error { return c.Freeze(context.Background()) }
		if !want {
			change = c.Thaw
		}
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Frozen(); err != nil || got != want {
			t.Errorf("Frozen: %v, %v, want %v", got, err, want)
		}
	}
	t.Logf("two freezes and thaws took %v", time.Since(start))
}

func TestDeleteRefusesWhileProcessesRun(t *testing.T) {
	h := detect(t)
	c := newCgroup(t, h, testConfig())
	p := spawn(t, c, "sleep")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	err := c.Delete(ctx)
	if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), strconv.Itoa(p.Pid)) {
		t.Errorf("Delete: %v, want ErrFailedPrecondition naming process %d", err, p.Pid)
	}
}

func TestDeleteWaitsForTheDying(t *testing.T) {
	h := detect(t)
	c := newCgroup(t, h, testConfig())
	p := spawn(t, c, "sleep")
	go func() {
		time.Sleep(50 * time.Millisecond)
		_ = p.Kill()
	}()
	if err := c.Delete(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestDeleteRemovesSubCgroups(t *testing.T) {
	h := detect(t)
	c := newCgroup(t, h, testConfig())
	for _, hier := range h.all() {
		for _, sub := range []string{"/a", "/a/b", "/c"} {
			if err := hier.mkdir(c.path + sub); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.Delete(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(context.Background()); err != nil {
		t.Errorf("second Delete: %v", err)
	}
}

func TestPidsOfSubCgroups(t *testing.T) {
	h := detect(t)
	c := newCgroup(t, h, testConfig())
	p := spawn(t, c, "sleep")
	hier := h.processes()
	if err := hier.mkdir(c.path + "/sub"); err != nil {
		t.Fatal(err)
	}
	if err := hier.write(c.path+"/sub/cgroup.procs", strconv.Itoa(p.Pid)); err != nil {
		t.Fatal(err)
	}
	if pids, err := c.Pids(); err != nil || len(pids) != 1 || pids[0] != p.Pid {
		t.Errorf("Pids: %v, %v, want [%d]", pids, err, p.Pid)
	}
}

// TestBornBesideDelegatedSubCgroups: an exec into a container that runs its own systemd.
func TestBornBesideDelegatedSubCgroups(t *testing.T) {
	h := detect(t)
	if h.unified == nil {
		t.Skip("needs the unified hierarchy")
	}
	controllers, err := h.unified.read("cgroup.controllers")
	if err != nil || strings.TrimSpace(controllers) == "" {
		t.Skip("the unified hierarchy has no controller to delegate")
	}
	c := newCgroup(t, h, testConfig())
	h.enable(controllers, c.path)
	p := spawn(t, c, "sleep")
	for _, sub := range []string{"/init.scope", "/other"} {
		if err := h.unified.mkdir(c.path + sub); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.unified.write(c.path+"/init.scope/cgroup.procs", strconv.Itoa(p.Pid)); err != nil {
		t.Fatal(err)
	}
	if err := h.unified.write(c.path+"/cgroup.subtree_control", "+"+strings.Fields(controllers)[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := born(c, "sleep"); !errors.Is(err, unix.EBUSY) {
		t.Errorf("born in the container's own cgroup: %v, want EBUSY", err)
	}
	fd, err := c.FDOf(p.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	link, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil || !strings.HasSuffix(link, c.Path()+"/init.scope") {
		t.Errorf("FDOf opened %s, %v, want init.scope", link, err)
	}
}

// enable turns on controllers for rel, which Create does only where limits are in v2.
func (h *Host) enable(controllers, rel string) {
	all := &Host{unified: h.unified, controllers: strings.Fields(controllers)}
	all.enableControllers(rel)
}

func TestCreateRefusesAnOccupiedCgroup(t *testing.T) {
	h := detect(t)
	cfg := testConfig()
	c := newCgroup(t, h, cfg)
	spawn(t, c, "sleep")
	again, err := h.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Create(); !errdefs.IsAlreadyExists(err) {
		t.Errorf("Create over a running container: %v, want ErrAlreadyExists", err)
	}
	if pids, err := c.Pids(); err != nil || len(pids) != 1 {
		t.Errorf("the first container has %v, %v", pids, err)
	}
}

func TestCreateRefusesAFrozenCgroup(t *testing.T) {
	h := detect(t)
	cfg := testConfig()
	c := newCgroup(t, h, cfg)
	if err := c.Freeze(context.Background()); err != nil {
		t.Fatal(err)
	}
	again, err := h.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Create(); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("Create over a frozen cgroup: %v, want ErrFailedPrecondition", err)
	}
	if err := c.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := again.Create(); err != nil {
		t.Errorf("Create over an empty cgroup: %v", err)
	}
}

func TestFailedCreateLeavesNothing(t *testing.T) {
	h := detect(t)
	cfg := testConfig()
	cfg.Path = testParent + "/deep/er/" + cfg.ID
	occupied := testConfig()
	occupied.Path = cfg.Path
	c, err := h.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	// The last hierarchy in Create's order already holds the cgroup, frozen or with a process;
	// a plain file system error is not to be had in cgroupfs as root.
	last := h.all()[len(h.all())-1]
	var made created
	if err := made.mkdirAll(last, c.path); err != nil {
		t.Fatal(err)
	}
	defer made.remove()
	blocker := newCgroup(t, h, testConfig())
	p := spawn(t, blocker, "sleep")
	if err := last.write(c.path+"/cgroup.procs", strconv.Itoa(p.Pid)); err != nil {
		t.Fatal(err)
	}
	if err := c.Create(); !errdefs.IsAlreadyExists(err) {
		t.Fatalf("Create: %v, want ErrAlreadyExists", err)
	}
	for _, hier := range h.all()[:len(h.all())-1] {
		if hier.exists(testParent[1:] + "/deep") {
			t.Errorf("%s is left", hier.path(testParent+"/deep"))
		}
	}
	if !last.exists(c.path) {
		t.Error("Create removed a directory it had not made")
	}
	_ = p.Kill()
	_, _ = p.Wait()
}

func TestOpenFromRecord(t *testing.T) {
	h := detect(t)
	c := newCgroup(t, h, testConfig())
	p := spawn(t, c, "sleep")
	reopened, err := h.Open(c.Record())
	if err != nil {
		t.Fatal(err)
	}
	if pids, err := reopened.Pids(); err != nil || len(pids) != 1 || pids[0] != p.Pid {
		t.Errorf("Pids after Open: %v, %v", pids, err)
	}
	if err := reopened.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := reopened.Delete(context.Background()); err != nil {
		t.Fatal(err)
	}
	bad := c.Record()
	bad.Mode = "other"
	if _, err := h.Open(bad); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("Open in another mode: %v", err)
	}
}

func TestGoneCgroupIsQuiet(t *testing.T) {
	h := detect(t)
	c, err := h.New(testConfig())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Kill(), c.Signal(unix.SIGTERM), c.Delete(context.Background())); err != nil {
		t.Error(err)
	}
	if pids, err := c.Pids(); err != nil || len(pids) != 0 {
		t.Errorf("Pids: %v, %v", pids, err)
	}
	if m, err := c.Stats(); !errdefs.IsNotFound(err) {
		t.Errorf("Stats: %v, %v, want ErrNotFound", m, err)
	}
}

func TestConcurrentCreateAndDelete(t *testing.T) {
	h := detect(t)
	done := make(chan error)
	const workers, rounds = 4, 25
	for range workers {
		go func() {
			for range rounds {
				c, err := h.New(testConfig())
				if err == nil {
					err = errors.Join(c.Create(), c.Delete(context.Background()))
				}
				for _, hier := range h.all() {
					_ = hier.rmdir(testParent[1:]) // takes the parent away under the others
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range workers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
