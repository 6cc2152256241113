// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sardine-run/sardine/internal/testnode"
)

func begin(t *testing.T, c *Cgroup, init int) *Birth {
	t.Helper()
	b, err := c.Begin(init)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestBirthBehindAQuota: the daemon must not wait for a child to get processor time, neither in
// a throttled container nor in a new one of a throttled pod.
func TestBirthBehindAQuota(t *testing.T) {
	h := detect(t)
	if !slices.Contains(h.Controllers(), "cpu") {
		t.Skip("needs the cpu controller")
	}
	pod := testConfig()
	pod.Resources = &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: pointer[int64](2000), Period: pointer[uint64](100000)}}
	podCgroup := newCgroup(t, h, pod)
	cfg := testConfig()
	cfg.Path = pod.Path + "/container"
	c := newCgroup(t, h, cfg)
	b := begin(t, c, 0)
	if b.NeedsAttach() {
		t.Error("the first process need not be attached")
	}
	p, err := bornIn(b, "burn")
	if err != nil {
		t.Fatal(err)
	}
	b.End()
	testnode.Eventually(t, "the pod is throttled", podCgroup.holdsBack)
	pauses := watchPauses()
	for range 5 {
		attachedBirth(t, c, p.Pid)
	}
	t.Logf("longest garbage collection: %v", pauses()) // a busy test machine's, too
	_ = p.Kill()
	_, _ = p.Wait()
	if err := c.Delete(context.Background()); err != nil {
		t.Error(err)
	}
}

// attachedBirth starts a process in c and checks that it ends up in all cgroups.
func attachedBirth(t *testing.T, c *Cgroup, init int) {
	t.Helper()
	b := begin(t, c, init)
	defer b.End()
	if !b.NeedsAttach() {
		t.Fatal("NeedsAttach: false")
	}
	exec, err := bornIn(b, "sleep")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = exec.Kill()
		_, _ = exec.Wait()
	}()
	if held := heldBy(t, c, exec.Pid); held {
		t.Error("the child was born behind the quota")
	}
	if err := b.Attach(exec.Pid); err != nil {
		t.Fatal(err)
	}
	in, err := cgroups.ParseCgroupFile("/proc/" + strconv.Itoa(exec.Pid) + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for _, hier := range c.host.all() {
		if got := in[hier.name()]; got != c.Path() {
			t.Errorf("hierarchy %q: %q, want %q", hier.name(), got, c.Path())
		}
	}
}

// heldBy reports whether c's quota holds for pid.
func heldBy(t *testing.T, c *Cgroup, pid int) bool {
	t.Helper()
	in, err := cgroups.ParseCgroupFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	if c.host.Mode() == Unified {
		return in[""] == c.Path()
	}
	return in["cpu"] == c.Path()
}

// watchPauses collects garbage all the time until the result is called, which
// returns the longest wait for all threads to stop.
func watchPauses() func() time.Duration {
	stop, worst := make(chan struct{}), make(chan time.Duration)
	go func() {
		var longest time.Duration
		for {
			select {
			case <-stop:
				worst <- longest
				return
			case <-time.After(time.Millisecond):
			}
			start := time.Now()
			runtime.GC()
			longest = max(longest, time.Since(start))
		}
	}()
	return func() time.Duration {
		close(stop)
		return <-worst
	}
}

func TestFreezeWaitsForBirths(t *testing.T) {
	h := detect(t)
	c := newCgroup(t, h, testConfig())
	p := spawn(t, c, "sleep")
	b := begin(t, c, p.Pid)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := c.Freeze(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Freeze during a birth: %v, want DeadlineExceeded", err)
	}
	frozen := make(chan error)
	go func() { frozen <- c.Freeze(context.Background()) }()
	testnode.Eventually(t, "the gate is shut", func() bool {
		another, err := c.Begin(p.Pid)
		if err == nil {
			another.End()
		}
		return errdefs.IsFailedPrecondition(err)
	})
	exec, err := bornIn(b, "sleep") // one that has begun goes on
	if err != nil {
		t.Fatal(err)
	}
	b.End()
	if err := <-frozen; err != nil {
		t.Fatal(err)
	}
	if _, err := c.Begin(p.Pid); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("Begin in a frozen container: %v, want ErrFailedPrecondition", err)
	}
	if err := c.Thaw(); err != nil {
		t.Fatal(err)
	}
	begin(t, c, p.Pid).End()
	_ = exec.Kill()
	_, _ = exec.Wait()
}

// TestBirthUnderAFrozenParent: somebody else froze the pod.
func TestBirthUnderAFrozenParent(t *testing.T) {
	h := detect(t)
	pod := testConfig()
	podCgroup := newCgroup(t, h, pod)
	cfg := testConfig()
	cfg.Path = pod.Path + "/container"
	c := newCgroup(t, h, cfg)
	if err := podCgroup.Freeze(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Begin(os.Getpid()); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("Begin: %v, want ErrFailedPrecondition", err)
	}
	if err := podCgroup.Thaw(); err != nil {
		t.Fatal(err)
	}
	begin(t, c, 0).End()
}
