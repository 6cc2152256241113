// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestNextDaemon has a daemon end in order and another one go on.
func TestNextDaemon(t *testing.T) {
	n := newNode(t)
	s := n.run(fullPod("one", n.cgroup, n.logs))
	if err := s.UpdateResources(t.Context(), &runtime.LinuxContainerResources{CpuShares: 7}, &runtime.LinuxContainerResources{CpuShares: 8}); err != nil {
		t.Fatal(err)
	}
	running := n.launch(s, "running", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done")
	created := n.create(s, containerConfig("created", "hostname; exit 6"))
	ended := n.launch(s, "ended", "exit 5")
	n.exited(ended)
	n.restart()
	s, running, created, ended = n.again(s), n.againContainer(running), n.againContainer(created), n.againContainer(ended)
	if now := s.Status(); !now.Ready || now.Network.IP != "10.88.0.7" || s.Pid() == 0 || len(s.Containers()) != 3 {
		t.Errorf("the pod is %+v, with %d containers", now, len(s.Containers()))
	}
	if p := s.forPlugins(); p.Overhead.GetCpuShares() != 7 || p.Resources.GetCpuShares() != 8 {
		t.Errorf("overhead %v, resources %v", p.Overhead, p.Resources)
	}
	if got := running.Status(); got.State != Running || got.Pid == 0 || got.User == nil {
		t.Errorf("status of the running one: %+v", got)
	}
	seen := len(n.log(running))
	n.eventually("the log goes on", func() bool { return len(n.log(running)) > seen })
	if got := ended.Status(); got.State != Exited || got.ExitCode != 5 || got.Reason != "Error" {
		t.Errorf("status of the ended one: %+v", got)
	}
	n.start(created) // in the namespaces, which have other names now
	if got := n.exited(created); got.ExitCode != 6 || n.log(created) != "one\n" {
		t.Errorf("status of the created one: %+v; it printed %q", got, n.log(created))
	}
	if err := running.Stop(t.Context(), 0); err != nil {
		t.Error(err)
	}
	_, err := n.RunSandbox(t.Context(), fullPod("one", n.cgroup, n.logs), "")
	wantClass(t, "the same name", err, errdefs.ErrAlreadyExists)
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	n.restart()
	if s = n.again(s); s.Status().Ready || s.NetNS() != "" || len(s.Namespaces()) != 0 {
		t.Errorf("a stopped pod is %+v", s.Status())
	}
	n.ForPlugins()
}

// TestEndsWhileNoDaemonRuns has containers end between two daemons.
func TestEndsWhileNoDaemonRuns(t *testing.T) {
	n := newNode(t)
	s := n.run(podConfig(n))
	c := n.launch(s, "c", forever)
	pid := c.Status().Pid
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	n.open()
	if got := n.exited(n.againContainer(c)); got.ExitCode != 137 && got.ExitCode != exitUnknown {
		t.Errorf("status %+v", got)
	}
}

// TestImageIsGone starts a container whose image was removed between two daemons.
func TestImageIsGone(t *testing.T) {
	n := newNode(t)
	s := n.run(podConfig(n))
	cfg := containerConfig("c", forever)
	cfg.Mounts = []*runtime.Mount{{ContainerPath: "/image", Image: &runtime.ImageSpec{Image: "busybox"}, Readonly: true}}
	c := n.create(s, cfg)
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	uses := n.images.uses.Load()
	n.open()
	if again := n.images.uses.Load(); again != uses {
		t.Errorf("the image has %d uses, before %d", again, uses)
	}
	c = n.againContainer(c)
	for _, v := range append(c.volumeViews, c.view) {
		v.Release()
	}
	c.view, c.volumeViews = nil, []imageView{nil}
	wantClass(t, "start", c.Start(t.Context()), errdefs.ErrFailedPrecondition)
	if got := c.Status(); got.Reason != reasonCannotRun {
		t.Errorf("status %+v", got)
	}
}

// TestOddRecords has records that no daemon of this version wrote.
func TestOddRecords(t *testing.T) {
	for name, spoil := range map[string]func(record map[string]any) any{
		"garbage":       func(map[string]any) any { return nil },
		"other id":      func(r map[string]any) any { r["id"] = "../../etc"; return r },
		"wrong type":    func(r map[string]any) any { r["created"] = 5; return r },
		"wrong message": func(r map[string]any) any { r["config"] = []byte("\xff\xff\xff"); return r },
		"no name":       func(r map[string]any) any { r["config"] = []byte{}; return r },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			spoiled, other := n.run(fullPod("spoiled", n.cgroup, n.logs)), n.run(fullPod("other", n.cgroup, n.logs))
			n.launch(spoiled, "c", forever)
			bad, good := n.launch(other, "bad", forever), n.launch(other, "good", forever)
			if err := n.close(); err != nil {
				t.Fatal(err)
			}
			for _, dir := range []string{spoiled.dir(), bad.dir()} {
				n.spoil(filepath.Join(dir, recordName), spoil)
			}
			n.open()
			if len(n.Sandboxes()) != 1 || len(n.AllContainers()) != 1 {
				t.Errorf("%d pods, %d containers", len(n.Sandboxes()), len(n.AllContainers()))
			}
			if got := n.againContainer(good).Status(); got.State != Running || !n.again(other).Status().Ready {
				t.Errorf("the other pod is %+v", got)
			}
			if err := n.again(other).Remove(t.Context()); err != nil {
				t.Error(err)
			}
			n.wantNothing()
		})
	}
}

func (n *node) spoil(path string, change func(map[string]any) any) {
	n.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		n.t.Fatal(err)
	}
	var r map[string]any
	if err := json.Unmarshal(text, &r); err != nil {
		n.t.Fatal(err)
	}
	out := text[:len(text)/2]
	if changed := change(r); changed != nil {
		if out, err = json.Marshal(changed); err != nil {
			n.t.Fatal(err)
		}
	}
	writeFile(n.t, path, string(out), 0o600)
}

// TestRecordOfTheFuture has fields and states that this version does not know.
func TestRecordOfTheFuture(t *testing.T) {
	n := newNode(t)
	s := n.run(podConfig(n))
	c := n.launch(s, "c", forever)
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	n.spoil(filepath.Join(c.dir(), recordName), func(r map[string]any) any {
		r["future"] = []int{1}
		r["status"].(map[string]any)["state"] = "frozen"
		return r
	})
	n.open()
	if got := n.againContainer(c).Status(); got.State != Running {
		t.Errorf("status %+v", got)
	}
}

// TestLeftovers has what a crash can leave between two steps, and files that are nobody's.
func TestLeftovers(t *testing.T) {
	n := newNode(t)
	s := n.run(podConfig(n))
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"state/pods/empty", "state/pod-containers/empty", "root/layers/orphan/fs", "root/trash/old/fs"} {
		if err := os.MkdirAll(filepath.Join(n.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, filepath.Join(n.dir, "state/pods/file"), "", 0o644)
	writeFile(t, filepath.Join(s.dir(), recordName+".new"), "{", 0o600)
	n.open()
	if !n.again(s).Status().Ready {
		t.Error("the pod is not ready")
	}
	if err := n.again(s).Remove(t.Context()); err != nil {
		t.Error(err)
	}
	n.wantNothing()
}

// TestPinsAreGone has somebody remove the namespaces of a pod.
func TestPinsAreGone(t *testing.T) {
	n := newNode(t)
	s := n.run(fullPod("one", n.cgroup, n.logs))
	c := n.create(s, containerConfig("c", forever))
	if err := n.spaces.Remove(s.ID); err != nil {
		t.Fatal(err)
	}
	n.restart()
	s, c = n.again(s), n.againContainer(c)
	if s.Status().Ready {
		t.Error("the pod is ready")
	}
	n.ForPlugins()
	wantClass(t, "start", c.Start(t.Context()), errdefs.ErrFailedPrecondition)
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	n.eventually("the address is given back", func() bool { return len(n.leases()) == 0 })
}

func TestHandlerIsGone(t *testing.T) {
	n := newNode(t)
	s, err := n.RunSandbox(t.Context(), podConfig(n), "other")
	if err != nil {
		t.Fatal(err)
	}
	n.restart()
	delete(n.Handlers, "other")
	s = n.again(s)
	again := &Sandbox{ID: s.ID, manager: n.Manager}
	if err := again.restore(); err != nil || again.HandlerName != "other" {
		t.Errorf("handler %q, %v", again.HandlerName, err)
	}
}

// TestTarget joins the pid namespace of another container, also with a later daemon.
func TestTarget(t *testing.T) {
	n := newNode(t)
	s := n.run(podConfig(n))
	target := n.launch(s, "target", forever)
	debug := func(name string) *runtime.ContainerConfig {
		cfg := containerConfig(name, "cat /proc/1/cmdline; echo; exec sleep 1000")
		cfg.Linux.SecurityContext.NamespaceOptions = &runtime.NamespaceOption{Pid: runtime.NamespaceMode_TARGET, TargetId: target.ID}
		return cfg
	}
	one, two := n.create(s, debug("one")), n.create(s, debug("two"))
	n.start(one)
	n.eventually("it sees the target", func() bool { return strings.Contains(n.log(one), "/bin/sh") })
	n.restart()
	target, two = n.againContainer(target), n.againContainer(two)
	if err := target.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	wantClass(t, "start without its target", two.Start(t.Context()), errdefs.ErrFailedPrecondition)
}

// FuzzRecord reads records of foreign bytes: they are refused, or make a pod that can be asked for everything.
func FuzzRecord(f *testing.F) {
	config, err := proto.Marshal(hostPod("a", "/x", "/logs"))
	if err != nil {
		f.Fatal(err)
	}
	container, err := proto.Marshal(containerConfig("c", "true"))
	if err != nil {
		f.Fatal(err)
	}
	for _, r := range []any{
		sandboxRecord{ID: "id", Config: config, Phase: ready, Created: time.Now()},
		containerRecord{ID: "id", Sandbox: "id", Config: container, Joined: map[specs.LinuxNamespaceType]string{"net": "/proc/1/fd/3"}},
	} {
		text, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m := &Manager{Config: Config{State: t.TempDir()}}
		m.sandboxes, m.containers = newIndex[*Sandbox]("pod sandbox"), newIndex[*Container]("container")
		s := &Sandbox{ID: "id", manager: m, op: newLock(), containers: map[string]*Container{}}
		c := &Container{ID: "id", manager: m, op: newLock()}
		for _, dir := range []string{s.dir(), c.dir()} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			writeFile(t, filepath.Join(dir, recordName), string(text), 0o600)
		}
		if err := s.restore(); err != nil {
			if !errors.Is(err, errUnreadable) {
				t.Fatal(err)
			}
			return
		}
		_ = fmt.Sprint(s.Status(), sandboxName(s.Config.Metadata), s.Namespaces(), s.cgroupParent(), s.hostname(), s.HostNetwork())
		m.sandboxes.all["id"] = s
		if err := c.restore(); err == nil {
			_ = fmt.Sprint(c.Status(), c.streams(), c.logPath(), containerName(c.Config.Metadata, s), c.imageVolumes())
		} else if !errors.Is(err, errUnreadable) && !errors.Is(err, errDiscard) {
			t.Fatal(err)
		}
	})
}
