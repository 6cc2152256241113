// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"errors"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/container"
)

// drainTime bounds the wait for the rest of a container's output. Everything in its cgroup has ended then;
// only a process that took its output elsewhere can hold it.
const drainTime = 2 * time.Second

// observe takes note of what happens to the containers of pods. It must not block.
func (m *Manager) observe(e container.Event) {
	if e.Container.Namespace() != Namespace || e.ExecID != "" {
		return
	}
	if e.Kind != container.OOMKilled && e.Kind != container.ProcessExited {
		return
	}
	m.mu.Lock()
	c := m.containers.all[e.Container.ID()]
	m.mu.Unlock()
	if c == nil { // made through containerd's own API
		return
	}
	if e.Kind == container.OOMKilled {
		c.mu.Lock()
		c.oom = true
		c.mu.Unlock()
		return
	}
	m.background.Add(1)
	go func() {
		defer m.background.Done()
		c.exited(e.Container, e.Exit)
	}()
}

// exited clears away what is left of the container's processes, lets its log be completed, and only then tells that it
// has ended: the kubelet reads the log next.
func (c *Container) exited(task *container.Container, exit container.Exit) {
	ctx, cancel := context.WithTimeout(context.Background(), undoTime)
	defer cancel()
	c.clear(ctx, task)
	c.op.Lock() // until its start is told
	defer c.op.Unlock()
	c.mu.Lock()
	if c.status.State != Running { // its start failed, and that was told
		c.mu.Unlock()
		return
	}
	reason := reasonError
	switch {
	case c.oom:
		reason = reasonOOMKilled
	case exit.Status == 0:
		reason = reasonCompleted
	}
	c.finish(exit.At, int32(exit.Status), reason, "")
	c.mu.Unlock()
	c.manager.publish(runtime.ContainerEventType_CONTAINER_STOPPED_EVENT, c.ID, c.Sandbox)
	if !c.manager.Plugins.Active() {
		return
	}
	if spec, err := c.Spec(); err == nil {
		c.manager.Plugins.ContainerExited(c.Sandbox.forPlugins(), c.forPlugins(spec))
	}
}

// clear removes the task and drains the log.
func (c *Container) clear(ctx context.Context, task *container.Container) {
	if _, err := task.Delete(ctx); err != nil && !errors.Is(err, errdefs.ErrNotFound) {
		log.L.WithError(err).WithField("id", c.ID).Error("clear away a container that has ended; its removal tries again")
	}
	if l := c.Log(); l != nil {
		drain, cancel := context.WithTimeout(ctx, drainTime)
		defer cancel()
		if err := l.Drained(drain); err != nil {
			log.L.WithError(err).WithField("id", c.ID).Warn("a process outside of the container still has its output")
		}
	}
	c.closeLog()
}

// finish makes c exited. mu is held.
func (c *Container) finish(at time.Time, code int32, reason, message string) {
	c.status.State, c.status.Finished, c.status.ExitCode, c.status.Reason, c.status.Message = Exited, at, code, reason, message
	c.task, c.spec = nil, nil
	if err := c.save(); err != nil {
		log.L.WithError(err).WithField("id", c.ID).Error("write down the end of the container")
	}
	if c.ended != nil {
		close(c.ended)
	}
}

// deleteTask removes the task of a container, running or not. nil when there is none.
func (c *Container) deleteTask(ctx context.Context) {
	task, err := c.manager.Containers.Get(Namespace, c.ID)
	if err != nil {
		return
	}
	if task.Status().State != container.Created {
		_ = task.Kill(unix.SIGKILL, true) // it may have ended
		_, err = task.Wait(ctx)
	}
	if err == nil {
		_, err = task.Delete(ctx)
	}
	if err != nil && !errors.Is(err, errdefs.ErrNotFound) {
		log.G(ctx).WithError(err).WithField("id", c.ID).Error("remove the processes of a container")
	}
}
