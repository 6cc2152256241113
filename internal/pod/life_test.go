// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/testnode"
)

func TestLife(t *testing.T) {
	n := newNode(t)
	s := n.run(fullPod("life", n.cgroup, n.logs))
	if now := s.Status(); !now.Ready || now.Network.IP != "10.88.0.7" {
		t.Errorf("the pod is %+v", now)
	}
	c := n.launch(s, "c", "hostname; echo $$; cat /etc/hostname; exit 3")
	status := n.exited(c)
	if status.ExitCode != 3 || status.Reason != "Error" || status.Started.IsZero() || status.Finished.Before(status.Started) || status.Pid != 0 {
		t.Errorf("status %+v", status)
	}
	lines := strings.Fields(n.log(c))
	if len(lines) != 3 || lines[0] != "life" || lines[1] == "1" || lines[2] != "life" {
		t.Errorf("it printed %q; want a host name, a pid that is not 1, and the name again", lines)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now := s.Status(); now.Ready || now.Network.IP != "" || s.NetNS() != "" {
		t.Errorf("a stopped pod is %+v, in %q", now, s.NetNS())
	}
	if left := n.leases(); len(left) != 0 {
		t.Errorf("addresses of a stopped pod: %q", left)
	}
	if len(s.Namespaces()) != 1 { // the holder's, by a pid that is gone
		t.Logf("namespaces %v", s.Namespaces())
	}
	if err := c.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Remove(t.Context()); err != nil {
		t.Error(err)
	}
}

func (n *node) leases() []string {
	n.t.Helper()
	entries, err := os.ReadDir(filepath.Join(n.dir, "leases"))
	if err != nil {
		n.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestExits(t *testing.T) {
	n := newNode(t)
	s := n.run(podConfig(n))
	for name, want := range map[string]struct {
		script, reason string
		code           int32
	}{
		"zero":  {"true", "Completed", 0},
		"seven": {"exit 7", "Error", 7},
	} {
		c := n.launch(s, name, want.script)
		if got := n.exited(c); got.ExitCode != want.code || got.Reason != want.reason {
			t.Errorf("%s: exit code %d, reason %s", name, got.ExitCode, got.Reason)
		}
		wantClass(t, "start again", c.Start(t.Context()), errdefs.ErrFailedPrecondition)
		_, err := c.Task()
		wantClass(t, "task", err, errdefs.ErrFailedPrecondition)
		wantClass(t, "reopen", c.ReopenLog(), errdefs.ErrFailedPrecondition)
		wantClass(t, "update", c.Update(t.Context(), &runtime.LinuxContainerResources{CpuShares: 100}), errdefs.ErrFailedPrecondition)
		if err := c.Stop(t.Context(), time.Hour); err != nil {
			t.Error(err)
		}
	}
}

func TestOutOfMemory(t *testing.T) {
	n := newNode(t)
	s := n.run(podConfig(n))
	cfg := containerConfig("eater", "dd if=/dev/zero of=/dev/null bs=100M count=1; exit 4")
	cfg.Linux.Resources = &runtime.LinuxContainerResources{MemoryLimitInBytes: 16 << 20, MemorySwapLimitInBytes: 16 << 20}
	c := n.create(s, cfg)
	n.start(c)
	if got := n.exited(c); got.Reason != "OOMKilled" {
		t.Errorf("exit code %d, reason %s: %s", got.ExitCode, got.Reason, n.log(c))
	}
}

func TestProgramThatCannotRun(t *testing.T) {
	n := newNode(t)
	s := n.run(podConfig(n))
	cfg := containerConfig("c", "")
	cfg.Command = []string{"/no/such/program"}
	c := n.create(s, cfg)
	if err := c.Start(t.Context()); err == nil {
		t.Fatal("it was started")
	}
	if got := c.Status(); got.State != Exited || got.Reason != "ContainerCannotRun" || got.ExitCode != 128 || !strings.Contains(got.Message, "/no/such/program") {
		t.Errorf("status %+v", got)
	}
	if err := c.Stop(t.Context(), time.Second); err != nil {
		t.Error(err)
	}
	if err := c.Remove(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNamesInUse(t *testing.T) {
	n := newNode(t)
	cfg := podConfig(n)
	s := n.run(cfg)
	_, err := n.RunSandbox(t.Context(), cfg, "")
	wantClass(t, "the same pod", err, errdefs.ErrAlreadyExists)
	n.create(s, containerConfig("c", forever))
	_, err = s.CreateContainer(t.Context(), containerConfig("c", forever))
	wantClass(t, "the same container", err, errdefs.ErrAlreadyExists)
	// Names that are the same when they are joined without care.
	one, two := podConfig(n), podConfig(n)
	one.Metadata = &runtime.PodSandboxMetadata{Name: "a_b", Namespace: "c"}
	two.Metadata = &runtime.PodSandboxMetadata{Name: "a", Namespace: "b_c"}
	n.run(one)
	n.run(two)
}

func TestRefused(t *testing.T) {
	n := newNode(t)
	bad := podConfig(n)
	bad.Metadata.Namespace = "../etc"
	_, err := n.RunSandbox(t.Context(), bad, "")
	wantClass(t, "namespace with slashes", err, errdefs.ErrInvalidArgument)
	_, err = n.RunSandbox(t.Context(), podConfig(n), "nosuch")
	wantClass(t, "handler", err, errdefs.ErrNotFound)

	s := n.run(podConfig(n))
	for what, change := range map[string]func(*runtime.ContainerConfig){
		"log path":  func(c *runtime.ContainerConfig) { c.LogPath = "../../etc/cron.d/x" },
		"name":      func(c *runtime.ContainerConfig) { c.Metadata.Name = "a/b" },
		"long name": func(c *runtime.ContainerConfig) { c.Metadata.Name = strings.Repeat("x", 1<<20) },
		"label":     func(c *runtime.ContainerConfig) { c.Labels = map[string]string{"a": strings.Repeat("x", 1<<20)} },
		"target": func(c *runtime.ContainerConfig) {
			c.Linux.SecurityContext.NamespaceOptions = &runtime.NamespaceOption{Pid: runtime.NamespaceMode_TARGET, TargetId: "nosuch"}
		},
	} {
		cfg := containerConfig("c", "true")
		change(cfg)
		_, err := s.CreateContainer(t.Context(), cfg)
		wantClass(t, what, err, errdefs.ErrInvalidArgument)
	}
	cfg := containerConfig("c", "true")
	cfg.Image.Image = "nosuch"
	_, err = s.CreateContainer(t.Context(), cfg)
	wantClass(t, "image", err, errdefs.ErrNotFound)
	for _, id := range []string{"nosuch", "../..", "a/b", strings.Repeat("f", 1<<20)} {
		_, err := n.Container(id)
		wantClass(t, "container", err, errdefs.ErrNotFound)
		if len(err.Error()) > 1000 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	}
	_, err = n.Sandbox("")
	wantClass(t, "empty id", err, errdefs.ErrInvalidArgument)
}

func TestIDsByPrefix(t *testing.T) {
	n := newNode(t)
	s := n.run(podConfig(n))
	if got, err := n.Sandbox(s.ID[:12]); err != nil || got != s {
		t.Errorf("%v, %v", got, err)
	}
	x := newIndex[int]("number")
	x.all["ab"], x.all["abc"], x.all["b"] = 1, 2, 3
	_, err := x.find("a")
	wantClass(t, "ambiguous", err, errdefs.ErrInvalidArgument)
	if got, err := x.find("ab"); err != nil || got != 1 {
		t.Errorf("an id that is the start of another: %v, %v", got, err)
	}
}

func TestStoppedPodTakesNothing(t *testing.T) {
	n := newNode(t)
	s := n.run(podConfig(n))
	c := n.create(s, containerConfig("c", forever))
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantClass(t, "start", c.Start(t.Context()), errdefs.ErrFailedPrecondition)
	_, err := s.CreateContainer(t.Context(), containerConfig("d", forever))
	wantClass(t, "create", err, errdefs.ErrFailedPrecondition)
	wantClass(t, "update", s.UpdateResources(t.Context(), nil, nil), errdefs.ErrFailedPrecondition)
	_, err = n.NetNS(s.ID)
	wantClass(t, "network", err, errdefs.ErrFailedPrecondition)
}

// TestGrace has several stops of a container that ignores its stop signal but for counting it.
func TestGrace(t *testing.T) {
	n := newNode(t)
	s := n.run(podConfig(n))
	c := n.launch(s, "c", "trap 'echo signal' TERM; echo ready; while :; do sleep 0.05; done")
	n.eventually("the trap is set", func() bool { return n.log(c) == "ready\n" })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	wantClass(t, "a caller that goes away", c.Stop(ctx, time.Hour), context.DeadlineExceeded)
	if got := c.Status().State; got != Running {
		t.Fatalf("the container is %s", got)
	}
	long := make(chan error, 1)
	go func() { long <- c.Stop(t.Context(), time.Hour) }()
	n.eventually("the signal has come", func() bool { return n.log(c) == "ready\nsignal\n" })
	begin := time.Now()
	if err := c.Stop(t.Context(), 200*time.Millisecond); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took < 200*time.Millisecond || took > testnode.Patience {
		t.Errorf("the shorter stop took %v", took)
	}
	if err := <-long; err != nil {
		t.Error(err)
	}
	if got := c.Status(); got.ExitCode != 137 || got.Reason != "Error" {
		t.Errorf("status %+v", got)
	}
	if got := n.log(c); got != "ready\nsignal\n" {
		t.Errorf("it printed %q: want one signal", got)
	}
}

func TestNegativeGrace(t *testing.T) {
	n := newNode(t)
	s := n.run(podConfig(n))
	c := n.launch(s, "c", "trap '' TERM; while :; do sleep 0.05; done")
	if err := c.Stop(t.Context(), -time.Hour); err != nil {
		t.Error(err)
	}
	if got := c.Status(); got.State != Exited || got.ExitCode != 137 {
		t.Errorf("status %+v", got)
	}
}

func TestCallerGone(t *testing.T) {
	n := newNode(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := n.RunSandbox(gone, podConfig(n), "")
	wantClass(t, "run", err, context.Canceled)
	n.wantNothing()
	s := n.run(podConfig(n))
	_, err = s.CreateContainer(gone, containerConfig("c", forever))
	wantClass(t, "create", err, context.Canceled)
	c := n.create(s, containerConfig("c", forever)) // the name is free
	n.start(c)
	if err := s.Stop(gone); err == nil {
		t.Log("stopped all the same")
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestNetworkFails has plugins that fail, and a caller that goes away while they hang.
func TestNetworkFails(t *testing.T) {
	n := newNode(t)
	fail, slow := filepath.Join(n.dir, "leases", "fail-ADD"), filepath.Join(n.dir, "leases", "slow")
	writeFile(t, fail, "", 0o644)
	if _, err := n.RunSandbox(t.Context(), fullPod("one", n.cgroup, n.logs), ""); err == nil || !strings.Contains(err.Error(), "told to fail") {
		t.Errorf("error %v", err)
	}
	os.Remove(fail)
	n.wantNothing()
	writeFile(t, slow, "", 0o644)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	time.AfterFunc(400*time.Millisecond, func() { os.Remove(slow) })
	if _, err := n.RunSandbox(ctx, fullPod("one", n.cgroup, n.logs), ""); err == nil {
		t.Error("a pod although its caller is gone")
	}
	n.wantNothing()

	s := n.run(fullPod("one", n.cgroup, n.logs))
	fail = filepath.Join(n.dir, "leases", "fail-DEL")
	writeFile(t, fail, "", 0o644)
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Remove(t.Context()); err != nil {
		t.Error(err)
	}
	if len(n.leases()) != 2 {
		t.Errorf("left: %q; want the address", n.leases())
	}
	os.Remove(fail) // it is tried again
}

func TestHolderEnds(t *testing.T) {
	n := newNode(t)
	s := n.run(fullPod("held", n.cgroup, n.logs))
	c := n.launch(s, "c", forever)
	events, stop := n.Subscribe()
	defer stop()
	if err := syscall.Kill(s.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	n.eventually("the pod is not ready", func() bool { return !s.Status().Ready })
	if got := n.exited(c); got.ExitCode != 137 {
		t.Errorf("exit code %d", got.ExitCode)
	}
	seen := map[string]bool{}
	n.eventually("both ends are told", func() bool {
		select {
		case e := <-events:
			seen[e.ContainerID] = e.Type == runtime.ContainerEventType_CONTAINER_STOPPED_EVENT
		default:
		}
		return seen[s.ID] && seen[c.ID]
	})
	_, err := s.CreateContainer(t.Context(), containerConfig("d", forever))
	wantClass(t, "create", err, errdefs.ErrFailedPrecondition)
}

// TestAllAtOnce has the calls that may come at the same time for one pod.
func TestAllAtOnce(t *testing.T) {
	n := newNode(t)
	for range 6 {
		s := n.run(podConfig(n))
		running := n.launch(s, "running", forever)
		created := n.create(s, containerConfig("created", forever))
		var wait sync.WaitGroup
		do := func(what string, allowed error, f func() error) {
			wait.Go(func() {
				if err := f(); err != nil && (allowed == nil || !errors.Is(err, allowed)) {
					t.Errorf("%s: %v", what, err)
				}
			})
		}
		do("start", errdefs.ErrFailedPrecondition, func() error { return created.Start(t.Context()) })
		do("create", errdefs.ErrFailedPrecondition, func() error {
			_, err := s.CreateContainer(t.Context(), containerConfig("new", forever))
			return err
		})
		for range 2 {
			do("stop pod", nil, func() error { return s.Stop(t.Context()) })
			do("stop container", nil, func() error { return running.Stop(t.Context(), time.Second) })
			do("remove container", nil, func() error { return created.Remove(t.Context()) })
			do("remove pod", nil, func() error { return s.Remove(t.Context()) })
		}
		do("look", nil, func() error { s.Status(); s.Namespaces(); n.ForPlugins(); return nil })
		wait.Wait()
		if err := s.Remove(t.Context()); err != nil {
			t.Error(err)
		}
		n.wantNothing()
	}
}

func TestLogDirectoryIsGone(t *testing.T) {
	n := newNode(t)
	cfg := podConfig(n)
	cfg.LogDirectory = filepath.Join(n.dir, "nosuch")
	s := n.run(cfg)
	c := n.launch(s, "c", "echo lost; exit 5")
	if got := n.exited(c); got.ExitCode != 5 {
		t.Errorf("exit code %d", got.ExitCode)
	}
}
