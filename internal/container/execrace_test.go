// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/stdio"
	"github.com/sardine-run/sardine/internal/testnode"
)

// TestExecRacesEnd: processes are executed while their container ends in one of several ways. Each of them has run or has
// an error that says why not, the container's end is told once and last, and nothing is left.
func TestExecRacesEnd(t *testing.T) {
	const rounds, execs = 200, 3
	n := newNode(t)
	ends := []func(context.Context, *Container) error{
		func(_ context.Context, c *Container) error { return c.Kill(unix.SIGKILL, false) },
		func(_ context.Context, c *Container) error { return c.Kill(unix.SIGKILL, true) },
		func(_ context.Context, c *Container) error { return c.cgroup.Kill() },
		func(ctx context.Context, c *Container) error {
			return errors.Join(c.Pause(ctx), c.Kill(unix.SIGKILL, true), c.Resume(ctx))
		},
	}
	began, pause := 0, 6*time.Millisecond // a launch takes three on a fast machine
	for i := range rounds {
		r := &execRace{node: n, c: n.run(fmt.Sprintf("c%d", i), "exec sleep 100"), end: ends[i%len(ends)], pause: pause}
		switch n := r.run(execs); n {
		case 0:
			pause += pause/3 + 1
		case execs:
			pause -= pause / 4
			began += n
		default:
			began += n
		}
		if t.Failed() {
			t.Fatalf("in round %d", i)
		}
	}
	if t.Logf("%d of %d were started", began, rounds*execs); began == 0 || began == rounds*execs {
		t.Error("nothing raced")
	}
}

// execRace is the end of one container.
type execRace struct {
	*node
	c   *Container
	end func(context.Context, *Container) error
	// pause is the longest between the start of the processes and the container's end. It follows what the machine needs.
	pause time.Duration
}

// run returns how many of the processes were started.
func (r *execRace) run(execs int) (began int) {
	var racing sync.WaitGroup
	started := make([]bool, execs)
	for i := range execs {
		racing.Go(func() { started[i] = r.exec(fmt.Sprint("e", i), i%2 == 0) })
	}
	time.Sleep(rand.N(r.pause))
	err := r.end(r.t.Context(), r.c)
	racing.Wait()
	if s := r.c.Status().State; s == Running || s == Paused { // an exec may keep it from being paused for a moment
		err = errors.Join(r.c.Kill(unix.SIGKILL, true), ignorePaused(r.c))
	}
	if code := r.wait(r.c); code != 137 {
		r.t.Errorf("the container's exit status is %d; end: %v", code, err)
	}
	r.delete(r.c)
	r.check(started)
	for _, ok := range started {
		if ok {
			began++
		}
	}
	return began
}

// ignorePaused resumes a container that may be paused.
func ignorePaused(c *Container) error {
	if c.Status().State == Paused {
		return c.Resume(context.Background())
	}
	return nil
}

// exec runs a program, for a session or not, and reports whether it has started.
func (r *execRace) exec(id string, session bool) bool {
	var streams stdio.Config
	if session {
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			r.t.Error(err)
			return false
		}
		streams.Files = &stdio.Files{Stdout: null}
	}
	p := *r.spec("exit 7").Process
	e, err := r.c.Exec(id, &p, streams)
	if err != nil {
		if session {
			streams.Files.Stdout.Close()
		}
		return false
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), testnode.Patience)
	defer cancel()
	failed := e.Start(ctx)
	if failed != nil && e.Status().State == Created { // the container was over before
		_, err := e.Delete(ctx)
		if err != nil {
			r.t.Error(err)
		}
		if session {
			streams.Files.Stdout.Close()
		}
		return false
	}
	exit, err := e.Wait(ctx)
	if err != nil {
		r.t.Errorf("%s does not end: %v; start: %v", id, err, failed)
	}
	if failed == nil && exit.Status != 7 && exit.Status != 137 || failed != nil && exit.Status != 255 {
		r.t.Errorf("%s: exit status %d, start: %v", id, exit.Status, failed)
	}
	if _, err := e.Delete(ctx); err != nil {
		r.t.Error(err)
	}
	return failed == nil
}

// check looks at what was told of the container.
func (r *execRace) check(started []bool) {
	id := r.c.ID()
	var told []string
	for _, e := range r.told() {
		if e == id || strings.HasPrefix(e, id+" ") || strings.HasPrefix(e, id+"/") {
			told = append(told, e)
		}
	}
	exited := slices.IndexFunc(told, func(e string) bool { return strings.HasPrefix(e, id+" exited") })
	if exited != len(told)-2 || told[len(told)-1] != id+" deleted 137" {
		r.t.Errorf("the container's end is not the last word: %q", told)
	}
	for i, ok := range started {
		begun, ended := fmt.Sprintf("%s/e%d exec-started", id, i), fmt.Sprintf("%s/e%d exited", id, i)
		b := slices.Index(told, begun)
		e := slices.IndexFunc(told, func(s string) bool { return strings.HasPrefix(s, ended) })
		if ok != (b >= 0) || ok != (e > b) {
			r.t.Errorf("e%d has started: %v; told: %q", i, ok, told)
		}
	}
}
