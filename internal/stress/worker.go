// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/sardine-run/sardine/internal/session"
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

// life takes one container from create to delete. What a failed step left is
// removed; its times are not recorded, not to mix quick failures in. It does
// not end when ctx does: a run is interrupted between lives.
func (w *worker) life(ctx context.Context, id string) error {
	ctx, cancel := w.bounded(ctx)
	defer cancel()
	args := []string{"true"}
	if w.run.options.Execs > 0 {
		args = sleepArgs
	}
	watch := newStopwatch()
	var times recorder
	c, err := w.run.session.NewContainer(ctx, id, w.run.options.Runtime, args...)
	if err != nil {
		return err
	}
	times.add(CreateContainer, watch.lap())
	if err := w.taskLife(ctx, c, &times, watch); err != nil {
		return errors.Join(err, session.RemoveContainer(ctx, c))
	}
	if err := c.Delete(ctx, containerd.WithSnapshotCleanup); err != nil {
		return errors.Join(fmt.Errorf("delete container %s: %w", c.ID(), err), session.RemoveContainer(ctx, c))
	}
	times.add(Delete, watch.lap())
	times.add(Total, watch.total())
	w.times.merge(&times)
	return nil
}

// bounded is the context for one container: not cancelled with the run, but
// with a limit.
func (w *worker) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx = w.run.session.Context(context.WithoutCancel(ctx))
	return context.WithTimeout(ctx, w.run.options.Timeout)
}

// nextID is unique among runs at the same time too.
func (w *worker) nextID() string {
	w.lives++
	return fmt.Sprintf("stress-%d-%d-%d", os.Getpid(), w.id, w.lives)
}

// taskLife is the part of a life that has a process. It ends inside the
// Delete phase: deleting the container is the caller's.
func (w *worker) taskLife(ctx context.Context, c containerd.Container, times *recorder, watch *stopwatch) error {
	task, err := c.NewTask(ctx, cio.NullIO)
	if err != nil {
		return fmt.Errorf("create task of %s: %w", c.ID(), err)
	}
	times.add(CreateTask, watch.lap())
	exited, err := task.Wait(ctx)
	if err != nil {
		return fmt.Errorf("wait for %s: %w", c.ID(), err)
	}
	if err := task.Start(ctx); err != nil {
		return fmt.Errorf("start %s: %w", c.ID(), err)
	}
	times.add(Start, watch.lap())
	want := uint32(0)
	if w.run.options.Execs > 0 {
		want = 128 + uint32(syscall.SIGKILL)
		if err := w.execs(ctx, task, times); err != nil {
			return err
		}
		watch.lap()
		if err := task.Kill(ctx, syscall.SIGKILL); err != nil {
			return fmt.Errorf("kill %s: %w", c.ID(), err)
		}
	}
	if err := expect(<-exited, want); err != nil {
		return fmt.Errorf("container %s: %w", c.ID(), err)
	}
	times.add(Wait, watch.lap())
	if _, err := task.Delete(ctx); err != nil {
		return fmt.Errorf("delete task of %s: %w", c.ID(), err)
	}
	return nil
}

// execs runs the wanted number of further processes in a running container.
func (w *worker) execs(ctx context.Context, task containerd.Task, times *recorder) error {
	spec, err := task.Spec(ctx)
	if err != nil {
		return fmt.Errorf("read spec of %s: %w", task.ID(), err)
	}
	spec.Process.Args = []string{"true"}
	for i := range w.run.options.Execs {
		began := time.Now()
		if err := execOnce(ctx, task, fmt.Sprintf("exec-%d", i), spec); err != nil {
			return fmt.Errorf("exec in %s: %w", task.ID(), err)
		}
		times.add(Exec, time.Since(began))
	}
	return nil
}

func execOnce(ctx context.Context, task containerd.Task, id string, spec *oci.Spec) error {
	process, err := task.Exec(ctx, id, spec.Process, cio.NullIO)
	if err != nil {
		return fmt.Errorf("create process: %w", err)
	}
	exited, err := process.Wait(ctx)
	if err != nil {
		return fmt.Errorf("wait: %w", err)
	}
	if err := process.Start(ctx); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if err := expect(<-exited, 0); err != nil {
		return err
	}
	if _, err := process.Delete(ctx); err != nil {
		return fmt.Errorf("delete process: %w", err)
	}
	return nil
}

func expect(status containerd.ExitStatus, want uint32) error {
	code, _, err := status.Result()
	if err != nil {
		return fmt.Errorf("wait: %w", err)
	}
	if code != want {
		return fmt.Errorf("exit status %d, expected %d", code, want)
	}
	return nil
}
