// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/sardine-run/sardine/internal/testnode"
)

// chains is a program of eight processes each of which forks and exits: whoever is found in a list is gone by then. It
// ends after fifty generations, as nobody may be quick to reap what it leaves.
const chains = `c() { [ $1 -gt 0 ] && ( c $(($1 - 1)) ) & exit 0; }; for i in 1 2 3 4 5 6 7 8; do ( c 50 ) & done`

func becomeChains() int {
	_ = syscall.Exec("/bin/sh", []string{"sh", "-c", chains}, nil)
	return 1
}

// TestKillForkingChains: none of those who fork meanwhile is missed, with cgroup.kill and without.
func TestKillForkingChains(t *testing.T) {
	h := detect(t)
	for name, kill := range map[string]func(*Cgroup) error{
		"kill":   (*Cgroup).Kill,
		"frozen": func(c *Cgroup) error { return dropGone(c.killFrozen()) },
	} {
		t.Run(name, func(t *testing.T) {
			for range 10 {
				killChains(t, h, kill)
			}
		})
	}
}

func killChains(t *testing.T, h *Host, kill func(*Cgroup) error) {
	t.Helper()
	c, err := h.New(testConfig())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Create(); err != nil {
		t.Fatal(err)
	}
	p, err := born(c, "chains")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = p.Wait() // the chains run on
	if err := errors.Join(kill(c), c.Delete(context.Background())); err != nil {
		t.Fatal(err)
	}
	for name, dir := range c.Paths() {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Fatalf("%q still has %s (%v)", name, dir, err)
		}
	}
}

// TestDeleteWhileTheHostCloses: a Delete that succeeds has left nothing, whatever was closed meanwhile.
func TestDeleteWhileTheHostCloses(t *testing.T) {
	look := detect(t)
	for range 300 {
		h, err := Detect()
		if err != nil {
			t.Fatal(err)
		}
		c, err := h.New(testConfig())
		if err == nil {
			err = c.Create()
		}
		if err != nil {
			t.Fatal(err)
		}
		deleted := make(chan error)
		go func() { deleted <- c.Delete(context.Background()) }()
		h.Close()
		err = <-deleted
		if err != nil && !errdefs.IsUnavailable(err) {
			t.Fatal(err)
		}
		left := 0
		for _, hier := range look.all() {
			if hier.exists(c.path) {
				left++
			}
		}
		if all := len(look.all()); err == nil && left != 0 || err != nil && left != all {
			t.Fatalf("Delete: %v, and it is left in %d of %d hierarchies", err, left, all)
		}
		if err != nil {
			_ = look.Prune(c.Path())
		}
	}
}

// TestDeleteSleeps: while a process does not end, Delete neither asks nor wakes up.
func TestDeleteSleeps(t *testing.T) {
	h := detect(t)
	c := newCgroup(t, h, testConfig())
	p := spawn(t, c, "sleep")
	const window = 400 * time.Millisecond
	idle := testnode.WakeUps(t, window, 3, 0)
	deleted := make(chan error)
	go func() {
		err := c.Delete(context.Background())
		for errdefs.IsFailedPrecondition(err) { // it waits for deleteTimeout; a busy machine may need more looks than fit into that
			err = c.Delete(context.Background())
		}
		deleted <- err
	}()
	testnode.Eventually(t, "it waits", func() bool { return strings.Contains(stacks(), "kernel.Await") })
	if waiting := testnode.WakeUps(t, window, 20, idle+2); waiting > idle+2 {
		t.Errorf("%d wake-ups while it waits, %d before", waiting, idle)
	}
	_ = p.Kill()
	if err := <-deleted; err != nil {
		t.Error(err)
	}
}
