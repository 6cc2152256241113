// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/cgroup"
	"github.com/sardine-run/sardine/internal/exits"
	"github.com/sardine-run/sardine/internal/stdio"
	"github.com/sardine-run/sardine/internal/testnode"
)

// restart ends the Manager's parts as the death of its daemon would, does between what
// happens meanwhile, and opens another Manager on its records.
func (n *node) restart(between func()) {
	n.t.Helper()
	old := n.List("")
	n.shut()
	for _, c := range old { // descriptors that would end with the daemon
		c.init.release()
		c.init.streams.CloseStdin()
		for _, e := range c.execs {
			e.process.release()
		}
	}
	n.mu.Lock()
	n.events = nil
	n.mu.Unlock()
	between()
	n.open()
	if err := n.Load(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) get(id string) *Container {
	n.t.Helper()
	c, err := n.Get(n.namespace, id)
	if err != nil {
		n.t.Fatal(err)
	}
	return c
}

func TestLoad(t *testing.T) {
	n := newNode(t)
	running := n.run("running", "sleep 100")
	n.runExec(running, "goeson", "sleep 100")
	ended := n.runExec(running, "ended", "exit 3")
	n.wait(ended)
	paused := n.run("paused", "sleep 100")
	if err := paused.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.wait(n.run("stopped", "exit 4"))
	dying := n.run("dying", "trap 'exit 6' TERM; echo >/data/trap; while :; do sleep 0.01; done")
	testnode.Eventually(t, "the trap", func() bool { _, err := os.Stat(filepath.Join(n.image, "data/trap")); return err == nil })
	pids := map[string]int{}
	for _, c := range n.List("") {
		pids[c.ID()] = c.Pid()
	}
	n.restart(func() { unix.Kill(dying.Pid(), unix.SIGTERM) })

	for id, pid := range pids {
		if got := n.get(id).Pid(); got != pid {
			t.Errorf("%s has pid %d, had %d", id, got, pid)
		}
	}
	if code := n.wait(n.get("dying")); code != 6 {
		t.Errorf("the one that ended meanwhile: exit status %d, want 6", code)
	}
	for id, want := range map[string]State{"running": Running, "paused": Paused, "stopped": Stopped, "dying": Stopped} {
		if got := n.get(id).Status().State; got != want {
			t.Errorf("%s is %s, want %s", id, got, want)
		}
	}
	if s := n.get("stopped").Status(); s.Exit.Status != 4 || s.Exit.At.IsZero() {
		t.Errorf("stopped: %+v", s)
	}
	n.wantEvents("dying exited 6")
}

// TestLoadedContainerIsWhole: everything works on a container of an earlier daemon.
func TestLoadedContainerIsWhole(t *testing.T) {
	n := newNode(t)
	first := n.run("one", "sleep 100")
	n.runExec(first, "old", "sleep 100")
	n.wait(n.runExec(first, "ended", "exit 3"))
	n.restart(func() {})
	c := n.get("one")
	old, err := c.GetExec("old")
	if err != nil {
		t.Fatal(err)
	}
	if ended, err := c.GetExec("ended"); err != nil || ended.Status().Exit.Status != 3 {
		t.Errorf("exec that had ended: %+v, %v", ended, err)
	}
	if code := n.wait(n.runExec(c, "new", "exit 9")); code != 9 {
		t.Errorf("new exec: exit status %d", code)
	}
	if err := c.Pause(t.Context()); err != nil {
		t.Error(err)
	}
	if err := c.Resume(t.Context()); err != nil {
		t.Error(err)
	}
	if err := old.Kill(unix.SIGTERM); err != nil {
		t.Error(err)
	}
	if code := n.wait(old); code != 128+15 {
		t.Errorf("old exec: exit status %d", code)
	}
	if _, err := n.Create(t.Context(), n.request("one", n.spec("true"))); !errdefs.IsAlreadyExists(err) {
		t.Errorf("create with the id of a loaded container: %v", err)
	}
	if err := c.Kill(unix.SIGKILL, false); err != nil {
		t.Error(err)
	}
	n.wait(c)
	n.delete(c)
	if want := "one exited 137"; !slices.Contains(n.told(), want) {
		t.Errorf("no %q in %q", want, n.told())
	}
}

// TestLoadCreated: a container that was not started ends with its daemon.
func TestLoadCreated(t *testing.T) {
	n := newNode(t)
	c := n.create("one", "sleep 100")
	n.restart(func() { c.init.handle = nil })
	n.get("one")
	testnode.Eventually(t, "its end", func() bool { return n.get("one").Status().State == Stopped })
}

// TestLoadPrefixes: a create that was cut off after any step is removed.
func TestLoadPrefixes(t *testing.T) {
	n := newNode(t)
	half := n.create("model", "true")
	dir := n.dir(half.key)
	record, err := os.ReadFile(filepath.Join(dir, recordName))
	if err != nil {
		t.Fatal(err)
	}
	n.delete(half)
	var fields map[string]any
	if err := json.Unmarshal(record, &fields); err != nil {
		t.Fatal(err)
	}
	fields["process"] = map[string]any{"pid": 0, "startTicks": 0}
	unborn, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	for name, files := range map[string]map[string]string{
		"empty":    {},
		"bundle":   {configName: "{}"},
		"started":  {configName: "{}", "." + recordName: string(record[:10])},
		"recorded": {configName: "{}", recordName: string(unborn)},
	} {
		k := key{n.namespace, name}
		if err := n.makeDir(k); err != nil {
			t.Fatal(err)
		}
		for file, text := range files {
			if err := os.WriteFile(filepath.Join(n.dir(k), file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	n.restart(func() {})
	n.wantNothing()
}

// TestLoadStuck: the record stays as long as there is a cgroup that only it tells of.
func TestLoadStuck(t *testing.T) {
	n := newNode(t)
	c := n.create("one", "true")
	n.discardProcess(c)
	group := c.cgroup.Paths()["pids"]
	if group == "" {
		group = c.cgroup.Paths()[""]
	}
	if err := unix.Mount(group, group, "", unix.MS_BIND, ""); err != nil { // it is busy
		t.Fatal(err)
	}
	n.restart(func() {})
	if list := n.List(""); len(list) != 0 {
		t.Errorf("%d containers", len(list))
	}
	if _, err := os.Stat(filepath.Join(n.dir(c.key), recordName)); err != nil {
		t.Errorf("its record: %v", err)
	}
	if err := unix.Unmount(group, 0); err != nil {
		t.Fatal(err)
	}
	n.restart(func() {})
	n.wantNothing()
	if _, err := os.Stat(group); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v", group, err)
	}
}

// TestRollbackStuck: so does the record of a create that has failed.
func TestRollbackStuck(t *testing.T) {
	n := newNode(t)
	cg, err := n.Cgroups.New(cgroup.Config{ID: "one", Path: "/" + n.namespace + "/one"})
	if err != nil {
		t.Fatal(err)
	}
	group := cg.Paths()[""] // the last that is removed
	if group == "" {
		group = cg.Paths()["pids"]
	}
	spec := n.spec("true")
	spec.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "mount --bind " + group + " " + group + "; exit 1"}}}}
	if _, err := n.Create(t.Context(), n.request("one", spec)); !errors.Is(err, errCgroupLeft) {
		t.Errorf("Create: %v", err)
	}
	record := filepath.Join(n.dir(key{n.namespace, "one"}), recordName)
	if _, err := os.Stat(record); err != nil {
		t.Errorf("its record: %v", err)
	}
	if err := unix.Unmount(group, 0); err != nil {
		t.Fatal(err)
	}
	n.restart(func() {})
	n.wantNothing()
	if _, err := os.Stat(group); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v", group, err)
	}
}

// discardProcess ends the process of a container and makes its record that of one without.
func (n *node) discardProcess(c *Container) {
	n.t.Helper()
	if err := c.discard(context.Background(), c.init); err != nil {
		n.t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.init.identity = exits.Identity{}
	if err := c.writeRecord(); err != nil {
		n.t.Fatal(err)
	}
}

// TestLoadStdin: a program that waits for input goes on waiting.
func TestLoadStdin(t *testing.T) {
	n := newNode(t)
	fifo := filepath.Join(t.TempDir(), "in")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	r := n.request("one", n.spec("cat >/data/typed"))
	r.Stdio = stdio.Config{Stdin: fifo}
	c, err := n.Create(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	n.start(c)
	n.restart(func() {})
	if _, err := client.WriteString("hello"); err != nil {
		t.Fatal(err)
	}
	client.Close()
	if s := n.get("one").Status().State; s != Running {
		t.Errorf("the container is %s", s)
	}
	n.get("one").CloseStdin()
	n.wait(n.get("one"))
	if text, _ := os.ReadFile(filepath.Join(n.image, "data/typed")); strings.TrimSpace(string(text)) != "hello" {
		t.Errorf("it read %q", text)
	}
}
