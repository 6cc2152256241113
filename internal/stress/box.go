// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"context"
	"fmt"
	"syscall"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"

	"github.com/sardine-run/sardine/internal/session"
)

// box is one container on its way through life. The methods are called in this
// order; exec any number of times. Errors name the step.
type box interface {
	create(ctx context.Context, args []string) error // snapshot and container record
	createTask(ctx context.Context) error
	start(ctx context.Context) error
	pid() int // of the started task
	exec(ctx context.Context, id string, args []string) error
	kill(ctx context.Context) error
	wait(ctx context.Context) (status uint32, err error)
	delete(ctx context.Context) error // task, container and snapshot
	remove(ctx context.Context) error // whatever there is, after an error
}

func newBox(s *session.Session, id string, o Options) box {
	if o.Library {
		return &libraryBox{session: s, id: id, runtime: o.Runtime}
	}
	return &callBox{session: s, id: id, runtime: o.Runtime}
}

// libraryBox goes through the client library's containers and tasks, which make
// about three times as many calls as there are steps, for leases, labels and
// records they read again.
type libraryBox struct {
	session     *session.Session
	id, runtime string
	container   containerd.Container
	task        containerd.Task
	exited      <-chan containerd.ExitStatus
}

func (b *libraryBox) create(ctx context.Context, args []string) (err error) {
	b.container, err = b.session.NewContainer(ctx, b.id, b.runtime, args...)
	return err
}

func (b *libraryBox) createTask(ctx context.Context) (err error) {
	b.task, err = b.container.NewTask(ctx, cio.NullIO)
	return named("create task", err)
}

func (b *libraryBox) start(ctx context.Context) (err error) {
	if b.exited, err = b.task.Wait(ctx); err != nil {
		return named("wait", err)
	}
	return named("start", b.task.Start(ctx))
}

func (b *libraryBox) pid() int { return int(b.task.Pid()) }

func (b *libraryBox) kill(ctx context.Context) error {
	return named("kill", b.task.Kill(ctx, syscall.SIGKILL))
}

func (b *libraryBox) wait(context.Context) (uint32, error) {
	status := <-b.exited
	return status.ExitCode(), named("wait", status.Error())
}

func (b *libraryBox) delete(ctx context.Context) error {
	if _, err := b.task.Delete(ctx); err != nil {
		return named("delete task", err)
	}
	return named("delete container", b.container.Delete(ctx, containerd.WithSnapshotCleanup))
}

func (b *libraryBox) remove(ctx context.Context) error {
	if b.container == nil {
		return nil
	}
	return session.RemoveContainer(ctx, b.container)
}

func (b *libraryBox) exec(ctx context.Context, id string, args []string) error {
	spec, err := b.task.Spec(ctx)
	if err != nil {
		return named("read spec", err)
	}
	spec.Process.Args = args
	process, err := b.task.Exec(ctx, id, spec.Process, cio.NullIO)
	if err != nil {
		return named("create process", err)
	}
	exited, err := process.Wait(ctx)
	if err != nil {
		return named("wait for process", err)
	}
	if err := process.Start(ctx); err != nil {
		return named("start process", err)
	}
	status := <-exited
	if err := expect(status.ExitCode(), status.Error(), 0); err != nil {
		return err
	}
	_, err = process.Delete(ctx)
	return named("delete process", err)
}

// named says in which step an error happened.
func named(step string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", step, err)
}

func expect(status uint32, err error, want uint32) error {
	if err != nil {
		return err
	}
	if status != want {
		return fmt.Errorf("exit status %d, expected %d", status, want)
	}
	return nil
}
