// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// worker runs containers one after the other.
type worker struct {
	run   *run
	id    int
	lives int
	times recorder
}

// sleepArgs is a program of every image that outlasts any run.
var sleepArgs = []string{"sleep", "864000"}

// nextID is unique among runs at the same time too.
func (w *worker) nextID() string {
	w.lives++
	return fmt.Sprintf("stress-%d-%d-%d", os.Getpid(), w.id, w.lives)
}

// life takes one container from create to delete. What a failed step left is
// removed; its times are not recorded, not to mix quick failures in. It does
// not end when ctx does: a run is interrupted between lives.
func (w *worker) life(ctx context.Context, id string) error {
	ctx, cancel := w.run.bounded(w.run.session.Context(ctx))
	defer cancel()
	b := newBox(w.run.session, id, w.run.options)
	var times recorder
	if err := w.live(ctx, b, &times); err != nil {
		return errors.Join(err, b.remove(ctx))
	}
	w.times.merge(&times)
	return nil
}

func (w *worker) live(ctx context.Context, b box, times *recorder) error {
	args := []string{"true"}
	if w.run.options.Execs > 0 {
		args = sleepArgs
	}
	watch := newStopwatch()
	if err := rise(ctx, b, args, times, watch); err != nil {
		return err
	}
	want := uint32(0)
	if w.run.options.Execs > 0 {
		want = 128 + uint32(syscall.SIGKILL)
		if err := w.execs(ctx, b, times); err != nil {
			return err
		}
		watch.lap()
		if err := b.kill(ctx); err != nil {
			return err
		}
	}
	status, err := b.wait(ctx)
	if err := expect(status, err, want); err != nil {
		return err
	}
	times.add(Wait, watch.lap())
	if err := b.delete(ctx); err != nil {
		return err
	}
	times.add(Delete, watch.lap())
	times.add(Total, watch.total())
	return nil
}

// rise is a life up to the running program.
func rise(ctx context.Context, b box, args []string, times *recorder, watch *stopwatch) error {
	if err := b.create(ctx, args); err != nil {
		return err
	}
	times.add(CreateContainer, watch.lap())
	if err := b.createTask(ctx); err != nil {
		return err
	}
	times.add(CreateTask, watch.lap())
	if err := b.start(ctx); err != nil {
		return err
	}
	times.add(Start, watch.lap())
	return nil
}

// execs runs the wanted number of further processes in a running container.
func (w *worker) execs(ctx context.Context, b box, times *recorder) error {
	for i := range w.run.options.Execs {
		began := time.Now()
		if err := b.exec(ctx, fmt.Sprintf("exec-%d", i), w.run.options.command()); err != nil {
			return named("exec", err)
		}
		times.add(Exec, time.Since(began))
	}
	return nil
}

// bounded is the context for one life: not cancelled with the run, but
// with a limit.
func (r *run) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), r.options.Timeout)
}
