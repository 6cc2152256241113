// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/fault"
)

// drainTime bounds the wait for the rest of a container's output. Everything in its cgroup has ended then;
// only a process that took its output elsewhere can hold it.
const drainTime = 2 * time.Second

// observe takes note of what happens to the containers of pods. It must not block.
func (m *Manager) observe(e container.Event) {
	if e.Kind != container.ProcessExited || e.ExecID != "" {
		return
	}
	id := e.Container.ID()
	switch e.Container.Namespace() {
	case Namespace:
		m.mu.Lock()
		c := m.containers.all[id]
		m.mu.Unlock()
		if c != nil { // otherwise it was made through containerd's own API
			m.inBackground(func() { c.exited(e.Container, e.Exit) })
		}
	case holderNamespace:
		m.inBackground(func() { m.holderEnded(id) })
	}
}

// recordsEnd reports whether the end of a task is recorded here, or does not matter.
func (m *Manager) recordsEnd(task *container.Container) bool {
	switch task.Namespace() {
	case Namespace:
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.containers.all[task.ID()] != nil
	case holderNamespace:
		return true
	}
	return false
}

// inBackground calls f, which ends soon, in a goroutine that Close waits for. After Close nothing is called: what
// happens then is for the next daemon.
func (m *Manager) inBackground(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.background.Go(f)
	}
}

// exited writes down how the container has ended, lets its log be completed, clears away what is left of its processes, and
// only then tells: the kubelet reads the log next, and unmounts what the container had.
func (c *Container) exited(task *container.Container, exit container.Exit) {
	_ = c.op.take(context.Background()) // until its start is told
	defer c.op.release()
	if !c.runsNow() { // its start failed, and that was told
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), undoTime)
	defer cancel()
	end := statusOf(task, exit)
	noted := c.note(end)
	c.completeLog(ctx)
	c.clear(ctx, task)
	c.finish(end, noted)
	c.tellEnd()
}

// tellEnd tells everybody that c is exited.
func (c *Container) tellEnd() {
	c.manager.publish(runtime.ContainerEventType_CONTAINER_STOPPED_EVENT, c.ID, c.Sandbox)
	c.manager.Plugins.ContainerExited(c.ID, c.describe)
}

// statusOf says how a container ended. Its cgroup still exists.
func statusOf(task *container.Container, exit container.Exit) status {
	s := status{Finished: exit.At, ExitCode: int32(exit.Status), Reason: reasonError}
	if exit.Status == 0 {
		s.Reason = reasonCompleted
	}
	kills, err := task.OOMKills()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		log.L.WithError(err).WithField("id", task.ID()).Warn("find out whether a container ran out of memory")
	}
	if kills > 0 {
		s.Reason = reasonOOMKilled
	}
	return s
}

// note writes down how the container has ended, which only its task has known, while it is still to be cleared away: a later
// daemon sees that by the task. It reports whether it could be written.
func (c *Container) note(end status) bool {
	err := c.manager.took(fault.ExitNoted, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.saveEnd(end)
	})
	if err != nil {
		log.L.WithError(err).WithField("id", c.ID).Error("write down how a container has ended")
	}
	return err == nil
}

// saveEnd writes the record of c as it is when it has ended. mu is held.
func (c *Container) saveEnd(end status) error {
	now := c.status
	defer func() { c.status = now }()
	end.State, end.Started = Exited, now.Started
	c.status = end
	return c.save()
}

func (c *Container) runsNow() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status.State == Running
}

// clear removes the task.
func (c *Container) clear(ctx context.Context, task *container.Container) {
	err := c.manager.took(fault.ExitCleared, func() error { _, err := task.Delete(ctx); return err })
	if err != nil && !errors.Is(err, errdefs.ErrNotFound) {
		log.L.WithError(err).WithField("id", c.ID).Error("clear away a container that has ended; its removal tries again")
	}
}

// completeLog reads what the container has printed to its end.
func (c *Container) completeLog(ctx context.Context) {
	if l := c.Log(); l != nil {
		drain, cancel := context.WithTimeout(ctx, drainTime)
		defer cancel()
		if err := l.Drained(drain); err != nil {
			log.L.WithError(err).WithField("id", c.ID).Warn("a process outside of the container still has its output")
		}
	}
	c.closeLog()
}

// finish makes c exited, as end says, which may be recorded already.
func (c *Container) finish(end status, recorded bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !recorded {
		if err := c.saveEnd(end); err != nil {
			log.L.WithError(err).WithField("id", c.ID).Error("write down the end of the container")
		}
	}
	end.State, end.Started = Exited, c.status.Started
	c.status, c.task, c.spec, c.pending = end, nil, nil, nil
	close(c.ended)
}

// deleteTask removes the task of a container, running or not. nil when there is none.
func (c *Container) deleteTask(ctx context.Context) error {
	task, err := c.manager.Containers.Get(Namespace, c.ID)
	if err != nil {
		return nil //nolint:nilerr // there is none
	}
	if task.Status().State != container.Created {
		_ = task.Kill(unix.SIGKILL, true) // it may have ended
		_, err = task.Wait(ctx)
	}
	if err == nil {
		_, err = task.Delete(ctx)
	}
	if err != nil && !errors.Is(err, errdefs.ErrNotFound) {
		return fmt.Errorf("processes of container %s: %w", c.ID, err)
	}
	return nil
}
