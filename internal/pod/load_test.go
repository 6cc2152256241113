// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/podlog"
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
	if got := running.Status(); got.State != Running || got.Pid == 0 || running.User() == nil {
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

// meetingLogs has something happen while the log of a container that runs is opened.
type meetingLogs struct {
	podlog.Logger
	meet func()
}

func (l meetingLogs) Open(cfg podlog.Config) (podlog.Log, error) {
	if cfg.Started {
		l.meet()
	}
	return l.Logger.Open(cfg)
}

// TestEndsWhileTakenOver: what ends in the middle of that is noted when it has been taken over, and its log is read to the end.
func TestEndsWhileTakenOver(t *testing.T) {
	n := newNode(t)
	c := n.launch(n.run(podConfig(n)), "c", "trap 'echo last; exit 3' TERM; echo first; while :; do sleep 0.01; done")
	n.eventually("it runs", func() bool { return n.log(c) == "first\n" })
	pid := c.Status().Pid
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	met := 0
	n.open(func(cfg *Config) {
		cfg.Logs = meetingLogs{cfg.Logs, func() {
			met++
			task, err := cfg.Containers.Get(Namespace, c.ID)
			if err == nil {
				err = unix.Kill(pid, unix.SIGTERM)
			}
			if err == nil {
				_, err = task.Wait(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
			time.Sleep(100 * time.Millisecond) // who does not wait now is quick enough
		}}
	})
	c = n.againContainer(c)
	if got := n.exited(c); got.ExitCode != 3 || n.log(c) != "first\nlast\n" || c.Log() != nil || met != 1 {
		t.Errorf("status %+v; it printed %q; its log: %v; %d logs were opened", got, n.log(c), c.Log(), met)
	}
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

// TestRecordOfAnotherRelease has records of a release that is not known: nothing is changed, and the pods are there again with
// one that knows them.
func TestRecordOfAnotherRelease(t *testing.T) {
	n := newNode(t)
	s := n.run(fullPod("one", n.cgroup, n.logs))
	c := n.launch(s, "c", forever)
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{s.dir(), c.dir()} {
		path := filepath.Join(dir, recordName)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		n.spoil(path, func(r map[string]any) any { return map[string]any{"version": 2, "id": []string{"of another kind"}} })
		before := n.files()
		d, err := openDaemon(n.dir)
		if !errors.Is(err, errdefs.ErrFailedPrecondition) || !strings.Contains(fmt.Sprint(err), path+" has version 2") {
			t.Errorf("load: %v", err)
		}
		if err := CheckRecords(n.State); !errors.Is(err, errdefs.ErrFailedPrecondition) {
			t.Errorf("check: %v", err)
		}
		if err := d.close(); err != nil {
			t.Error(err)
		}
		if after := n.files(); !slices.Equal(before, after) {
			t.Errorf("files before: %q\nand after: %q", before, after)
		}
		writeFile(t, path, string(text), 0o600)
	}
	if err := CheckRecords(n.State); err != nil {
		t.Errorf("check: %v", err)
	}
	n.open()
	if got := n.againContainer(c).Status(); got.State != Running || !n.again(s).Status().Ready {
		t.Errorf("status %+v", got)
	}
}

// files are the paths below the directories of the daemon.
func (n *node) files() (paths []string) {
	n.t.Helper()
	for _, dir := range []string{"state/" + sandboxesDir, "state/" + containersDir, "state/containers", "root", "leases", "network"} {
		err := filepath.WalkDir(filepath.Join(n.dir, dir), func(path string, _ fs.DirEntry, err error) error {
			paths = append(paths, path)
			return err
		})
		if err != nil {
			n.t.Fatal(err)
		}
	}
	return paths
}

// TestRecordOfFirstRelease has records without a version.
func TestRecordOfFirstRelease(t *testing.T) {
	n := newNode(t)
	s := n.run(podConfig(n))
	c := n.launch(s, "c", forever)
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{s.dir(), c.dir()} {
		n.spoil(filepath.Join(dir, recordName), func(r map[string]any) any {
			if r["version"] != 1.0 {
				t.Errorf("version %v", r["version"])
			}
			delete(r, "version")
			return r
		})
	}
	if err := CheckRecords(n.State); err != nil {
		t.Errorf("check: %v", err)
	}
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
		c := restored{Container: &Container{ID: "id", manager: m, op: newLock()}}
		for _, dir := range []string{s.dir(), c.dir()} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			writeFile(t, filepath.Join(dir, recordName), string(text), 0o600)
		}
		if err := s.restore(); err != nil {
			if !errors.Is(err, errUnreadable) && !errors.Is(err, errdefs.ErrFailedPrecondition) {
				t.Fatal(err)
			}
			return
		}
		_ = fmt.Sprint(s.Status(), s.Config(), sandboxName(s.Metadata), s.Namespaces(), s.CgroupParent, s.HostNetwork(), s.forPlugins())
		if err := c.restore(); err == nil {
			c.Sandbox = s
			_ = fmt.Sprint(c.Status(), c.Config(), c.streams(), c.logPath(), containerName(c.Metadata, s), c.User())
		} else if !errors.Is(err, errUnreadable) {
			t.Fatal(err)
		}
	})
}
