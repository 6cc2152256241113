// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/stdio"
	"github.com/sardine-run/sardine/internal/testnode"
)

func TestLife(t *testing.T) {
	n := newNode(t)
	c := n.create("one", "exit 7")
	if s := c.Status(); s.State != Created || s.Pid == 0 || s.Exit != (Exit{}) {
		t.Errorf("created: %+v", s)
	}
	if _, err := os.Stat(filepath.Join(c.Bundle(), "config.json")); err != nil {
		t.Error(err)
	}
	n.start(c)
	if code := n.wait(c); code != 7 {
		t.Errorf("exit status %d, want 7", code)
	}
	if s := c.Status(); s.State != Stopped || s.Exit.Status != 7 {
		t.Errorf("stopped: %+v", s)
	}
	exit, err := c.Delete(t.Context())
	if err != nil || exit.Status != 7 {
		t.Errorf("delete: %+v, %v", exit, err)
	}
	if _, err := n.Get(n.namespace, "one"); !errdefs.IsNotFound(err) {
		t.Errorf("get after delete: %v", err)
	}
	if _, err := os.Lstat(c.Bundle()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the bundle is left: %v", err)
	}
	n.wantEvents("one created", "one started", "one exited 7", "one deleted 7")
}

func TestWrongStates(t *testing.T) {
	n := newNode(t)
	c := n.create("one", "sleep 100")
	precondition := func(what string, err error) {
		t.Helper()
		if !errdefs.IsFailedPrecondition(err) {
			t.Errorf("%s while %s: %v; want ErrFailedPrecondition", what, c.Status().State, err)
		}
	}
	precondition("pause", c.Pause(t.Context()))
	precondition("resume", c.Resume(t.Context()))
	n.start(c)
	precondition("start", c.Start(t.Context()))
	precondition("resume", c.Resume(t.Context()))
	_, err := c.Delete(t.Context())
	precondition("delete", err)
	if err := c.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	precondition("pause", c.Pause(t.Context()))
	_, err = c.Exec("e", &specs.Process{}, stdio.Config{})
	precondition("exec", err)
	_, err = c.Delete(t.Context())
	precondition("delete", err)
	if err := c.Kill(unix.SIGKILL, false); err != nil {
		t.Fatal(err)
	}
	if code := n.wait(c); code != 128+9 {
		t.Errorf("exit status %d, want 137", code)
	}
	precondition("start", c.Start(t.Context()))
	precondition("pause", c.Pause(t.Context()))
	precondition("update", c.Update(&specs.LinuxResources{}))
	if err := c.Kill(unix.SIGTERM, false); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "process already finished") {
		t.Errorf("kill while stopped: %v", err)
	}
	n.delete(c)
	for what, err := range map[string]error{
		"start": c.Start(t.Context()), "pause": c.Pause(t.Context()), "kill": c.Kill(unix.SIGTERM, true),
	} {
		if !errdefs.IsNotFound(err) {
			t.Errorf("%s after delete: %v; want ErrNotFound", what, err)
		}
	}
	n.wantEvents("one created", "one started", "one paused", "one exited 137", "one deleted 137")
}

func TestDuplicate(t *testing.T) {
	n := newNode(t)
	n.create("one", "true")
	if _, err := n.Create(t.Context(), n.request("one", n.spec("true"))); !errdefs.IsAlreadyExists(err) {
		t.Errorf("second container of one id: %v", err)
	}
	if got := len(n.List(n.namespace)); got != 1 {
		t.Errorf("%d containers", got)
	}
	if got := n.List("other"); got != nil {
		t.Errorf("other namespace: %v", got)
	}
}

// TestDeleteCreated: a container that was never started is ended, and its exit told.
func TestDeleteCreated(t *testing.T) {
	n := newNode(t)
	c := n.create("one", "true")
	exit, err := c.Delete(t.Context())
	if err != nil || exit.Status != 137 {
		t.Errorf("delete: %+v, %v", exit, err)
	}
	n.wantEvents("one created", "one exited 137", "one deleted 137")
}

// TestKilledBeforeStart: the start fails and the exit is told once.
func TestKilledBeforeStart(t *testing.T) {
	n := newNode(t)
	c := n.create("one", "true")
	if err := c.Kill(unix.SIGKILL, false); err != nil {
		t.Fatal(err)
	}
	n.wait(c)
	if err := c.Start(t.Context()); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("start: %v", err)
	}
	n.delete(c)
	n.wantEvents("one created", "one exited 137", "one deleted 137")
}

// TestMissingProgram: a program that cannot be executed ends the container with its exit told.
func TestMissingProgram(t *testing.T) {
	n := newNode(t)
	spec := n.spec("")
	spec.Process.Args = []string{"/no/such/program"}
	c, err := n.Create(t.Context(), n.request("one", spec))
	if err == nil {
		err = c.Start(t.Context())
		n.wait(c)
		n.delete(c)
	}
	if err == nil || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("missing program: %v", err)
	}
}

func TestPauseStopsAll(t *testing.T) {
	n := newNode(t)
	c := n.run("one", "while :; do echo x >>/data/ticks; sleep 0.02; done")
	ticks := filepath.Join(n.image, "data/ticks")
	size := func() int64 {
		info, err := os.Stat(ticks)
		if err != nil {
			return 0
		}
		return info.Size()
	}
	testnode.Eventually(t, "ticks", func() bool { return size() > 2 })
	if err := c.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.Status().State != Paused {
		t.Errorf("state %s", c.Status().State)
	}
	before := size()
	time.Sleep(100 * time.Millisecond)
	if after := size(); after != before {
		t.Errorf("%d bytes written while paused", after-before)
	}
	if err := c.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	testnode.Eventually(t, "ticks after resume", func() bool { return size() > before })
}

func TestKillAll(t *testing.T) {
	n := newNode(t)
	c := n.run("one", `trap '' TERM; (trap 'echo child >>/data/log; exit' TERM; echo >/data/trap; while :; do sleep 0.05; done) & while :; do wait; sleep 0.05; done`)
	testnode.Eventually(t, "three processes", func() bool { p, _ := c.Pids(); return len(p) >= 3 })
	testnode.Eventually(t, "the trap", func() bool { _, err := os.Stat(filepath.Join(n.image, "data/trap")); return err == nil })
	if err := c.Kill(unix.SIGTERM, true); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(n.image, "data/log")
	testnode.Eventually(t, "the child's log", func() bool { text, _ := os.ReadFile(log); return string(text) == "child\n" })
	if c.Status().State != Running {
		t.Error("the first process ended of a signal that it ignores")
	}
	if err := c.Kill(unix.SIGKILL, true); err != nil {
		t.Fatal(err)
	}
	if code := n.wait(c); code != 137 {
		t.Errorf("exit status %d", code)
	}
}

// TestSharedPIDNamespace: the kernel does not end the other processes with the first.
func TestSharedPIDNamespace(t *testing.T) {
	n := newNode(t)
	spec := n.spec("sleep 100 & sleep 100 & exit 3")
	spec.Linux.Namespaces = slices.DeleteFunc(spec.Linux.Namespaces, func(ns specs.LinuxNamespace) bool {
		return ns.Type == specs.PIDNamespace
	})
	c := n.createSpec("one", spec)
	n.start(c)
	if code := n.wait(c); code != 3 {
		t.Errorf("exit status %d", code)
	}
	testnode.Eventually(t, "the end of the rest", func() bool { p, err := c.Pids(); return err == nil && len(p) == 0 })
	n.delete(c)
}

func TestResources(t *testing.T) {
	n := newNode(t)
	c := n.run("one", "sleep 100")
	limit := int64(512)
	if err := c.Update(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}); err != nil && !errdefs.IsFailedPrecondition(err) {
		t.Errorf("update: %v", err)
	}
	if stats, err := c.Stats(); err != nil || stats == nil {
		t.Errorf("stats: %v, %v", stats, err)
	}
}

func TestWaitIsCancelled(t *testing.T) {
	n := newNode(t)
	c := n.create("one", "true")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestWaitKnowsTheEnd: who comes to look after the end and after his time is over is told of the end.
func TestWaitKnowsTheEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := newProcess("", stdio.Config{})
	close(p.gone)
	close(p.waited)
	for range 100 { // by chance it would be so every other time
		if err := errors.Join(p.wait(ctx), p.awaitGone(ctx)); err != nil {
			t.Fatal(err)
		}
	}
	alive := newProcess("", stdio.Config{})
	if err := alive.awaitGone(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("of a process that lives: %v", err)
	}
}

// TestConcurrentLives has many containers at once, each with its own exit status.
func TestConcurrentLives(t *testing.T) {
	n := newNode(t)
	done := make(chan error)
	const lives = 24
	for i := range lives {
		go func() {
			id := "c" + string(rune('a'+i))
			err := func() error {
				c, err := n.Create(t.Context(), n.request(id, n.spec("exit "+string(rune('0'+i%8)))))
				if err != nil {
					return err
				}
				if err := c.Start(t.Context()); err != nil {
					return err
				}
				exit, err := c.Wait(t.Context())
				if err == nil && exit.Status != uint32(i%8) {
					err = errors.New("wrong exit status")
				}
				if _, derr := c.Delete(t.Context()); err == nil {
					err = derr
				}
				return err
			}()
			done <- err
		}()
	}
	for range lives {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got := len(n.told()); got != 4*lives {
		t.Errorf("%d events for %d lives", got, lives)
	}
}
