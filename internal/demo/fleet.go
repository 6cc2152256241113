// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"

	"github.com/sardine-run/sardine/internal/session"
)

// fleet is the containers of a demonstration.
type fleet struct {
	show    *show
	members []*member // in the order of their numbers, once started
}

// member is one running container.
type member struct {
	container containerd.Container
	task      containerd.Task
	line      *line         // only of the one that is talked to
	took      time.Duration // from the first call to the running program
}

// callTimeout is what a daemon has to start or to delete one container.
const callTimeout = 30 * time.Second

// start starts all and says how long one took. The last is the one that talks.
func (f *fleet) start(ctx context.Context) error {
	count := f.show.options.Count
	f.members = make([]*member, count)
	began := time.Now()
	if err := f.each(ctx, "starting containers", func(ctx context.Context, i int) (err error) {
		f.members[i], err = f.startOne(ctx, i)
		return err
	}); err != nil {
		return err
	}
	elapsed := time.Since(began)
	f.show.display.Line("started %d containers in %.2f s, %d at a time: %s per container",
		count, elapsed.Seconds(), f.show.options.Workers, ms(elapsed/time.Duration(count)))
	f.show.display.Line("  from the first call to the running program: %s at the median, %s at the most", ms(f.median()), ms(f.slowest()))
	return nil
}

func (f *fleet) startOne(ctx context.Context, i int) (*member, error) {
	began := time.Now()
	m := &member{}
	mode, io := "wait", cio.NullIO
	if i == f.show.options.Count-1 {
		m.line = newLine()
		mode, io = "talk", m.line.creator(f.show.daemon.Dir)
	}
	var err error
	id := fmt.Sprintf("demo-%d", i+1)
	if m.container, err = f.show.session.NewContainer(ctx, id, f.show.options.Runtime, mode); err != nil {
		return nil, err
	}
	if m.task, err = m.container.NewTask(ctx, io); err != nil {
		return nil, fmt.Errorf("create task of %s: %w", id, err)
	}
	if err := m.task.Start(ctx); err != nil {
		return nil, fmt.Errorf("start %s: %w", id, err)
	}
	m.took = time.Since(began)
	return m, nil
}

// delete asks every program to end, waits for it, and deletes the container.
func (f *fleet) delete(ctx context.Context) error {
	began := time.Now()
	if err := f.each(ctx, "deleting containers", func(ctx context.Context, i int) error {
		if l := f.members[i].line; l != nil {
			l.close()
		}
		return session.RemoveContainer(ctx, f.members[i].container)
	}); err != nil {
		return err
	}
	elapsed := time.Since(began)
	f.show.display.Line("deleted them in %.2f s: %s per container", elapsed.Seconds(), ms(elapsed/time.Duration(len(f.members))))
	return nil
}

// each calls work for every member's number, as many at a time as there are
// workers, shows the progress, and returns the first error once all calls
// returned. After an error, or when ctx is cancelled, no new call is made; the
// context of a call has a limit but is not cancelled, so that none is cut off
// halfway.
func (f *fleet) each(ctx context.Context, what string, work func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	call := func(i int) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		return work(ctx, i)
	}
	var (
		running    sync.WaitGroup
		mu         sync.Mutex // guards next and done
		next, done int
	)
	take := func() int {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next - 1
	}
	finish := func() {
		mu.Lock()
		defer mu.Unlock()
		done++
		f.show.display.Progress(what, done, f.show.options.Count)
	}
	for range f.show.options.Workers {
		running.Go(func() {
			for i := take(); i < f.show.options.Count && ctx.Err() == nil; i = take() {
				if err := call(i); err != nil {
					cancel(err)
					return
				}
				finish()
			}
		})
	}
	running.Wait()
	return interrupted(context.Cause(ctx))
}

// interrupted names the plain cause that a signal leaves.
func interrupted(err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("interrupted: %w", err)
	}
	return err
}

func (f *fleet) pids() []int {
	pids := make([]int, len(f.members))
	for i, m := range f.members {
		pids[i] = int(m.task.Pid())
	}
	return pids
}

func (f *fleet) times() []time.Duration {
	times := make([]time.Duration, len(f.members))
	for i, m := range f.members {
		times[i] = m.took
	}
	slices.Sort(times)
	return times
}

func (f *fleet) median() time.Duration { return f.times()[len(f.members)/2] }

func (f *fleet) slowest() time.Duration { return f.times()[len(f.members)-1] }
