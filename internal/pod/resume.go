// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/fault"
	"github.com/sardine-run/sardine/internal/image"
)

// restored is a container out of its record, whose pod is still to be found.
type restored struct {
	*Container
	sandbox string
}

func (m *Manager) readContainer(id string) (restored, error) {
	r := restored{Container: &Container{ID: id, manager: m, op: newLock()}}
	return r, r.restore()
}

// loadContainer takes over a container of an earlier daemon. logs counts those whose log is still to be completed before anybody
// may see them.
func (m *Manager) loadContainer(ctx context.Context, r restored, logs *sync.WaitGroup) error {
	c := r.Container
	m.mu.Lock()
	c.Sandbox = m.sandboxes.all[r.sandbox]
	m.mu.Unlock()
	if c.Sandbox == nil {
		return fmt.Errorf("its pod sandbox %s is gone: %w", shorten(r.sandbox), errDiscard)
	}
	if err := m.reserveContainer(c); err != nil {
		return fmt.Errorf("%w: %w", errDiscard, err)
	}
	m.labels.hold(c.processLabel)
	c.hold(ctx)
	_ = c.op.take(context.Background()) // nobody else knows of c; its end, which is observed from here on, is noted when it has been taken over
	defer c.op.release()
	c.Sandbox.containers[c.ID] = c
	m.addContainer(c)
	c.resume(ctx, logs)
	return nil
}

// restore reads the record. The spec is not read: idle containers do without it.
func (c *restored) restore() error {
	var r containerRecord
	if err := readRecord(c.dir(), &r, &r.Version); err != nil {
		return err
	}
	cfg := &runtime.ContainerConfig{}
	if err := decode(r.Config, cfg); err != nil {
		return err
	}
	if r.ID != c.ID || cfg.Metadata == nil {
		return fmt.Errorf("%w: it is of another container %q", errUnreadable, shorten(r.ID))
	}
	if volumes := imageVolumes(cfg); len(r.Image.Volumes) != len(volumes) {
		return fmt.Errorf("%w: it has %d image volumes, its configuration %d", errUnreadable, len(r.Image.Volumes), len(volumes))
	}
	if _, err := unpack[runtime.ContainerUser](r.User); err != nil {
		return err
	}
	c.configure(cfg, r.Config)
	c.sandbox, c.user, c.Created, c.image, c.volumes, c.status = r.Sandbox, r.User, r.Created, r.Image.shared(), r.Volumes, r.Status
	c.stopSignal, c.processLabel = share(r.StopSignal), r.ProcessLabel
	if c.status.State == Created {
		c.joined = r.Joined
	}
	if c.status.State != Created && c.status.State != Exited {
		c.ended = make(chan struct{})
	}
	return nil
}

// hold keeps the container's images from garbage collection again.
func (c *Container) hold(ctx context.Context) {
	c.view = c.holdImage(ctx, c.image.ID)
	for _, id := range c.image.Volumes { // not by name: that may be another image's now
		c.volumeViews = append(c.volumeViews, c.holdImage(ctx, id))
	}
}

// holdImage returns nil when the image is gone.
func (c *Container) holdImage(ctx context.Context, ref string) image.View {
	view, err := c.manager.Images.Use(ctx, ref, c.image.Snapshotter)
	if err != nil {
		log.G(ctx).WithError(err).WithField("id", c.ID).Warn("an image of a container is gone; its files stay as long as it runs")
		return nil
	}
	return view
}

// resume goes on with the container where the earlier daemon stopped. op is held.
func (c *Container) resume(ctx context.Context, logs *sync.WaitGroup) {
	if c.status.State == Created {
		return
	}
	task, err := c.manager.Containers.Get(Namespace, c.ID)
	if c.status.State == Exited {
		if err == nil {
			c.openLogAgain(ctx)
			logs.Add(1)
			c.manager.inBackground(func() { c.clearLater(logs.Done) })
		}
		return
	}
	if err != nil {
		c.openLogAgain(ctx)
		c.manager.inBackground(c.endedBefore)
		return
	}
	if task.Status().State == container.Created {
		c.failStart(ctx, errEndedStarting)
		return
	}
	c.mu.Lock()
	c.status.State, c.task = Running, task
	c.mu.Unlock()
	if c.Sandbox.phase == stopped { // somebody has removed the pins of its namespaces
		c.Sandbox.phase = stopping
	}
	c.openLogAgain(ctx)
	// An end that came before c was known was not observed.
	if now := task.Status(); now.State == container.Stopped {
		c.manager.inBackground(func() { c.exited(task, now.Exit) })
	}
}

// clearLater clears away what is left of a container that is recorded as exited: an earlier daemon could not, and has told that the
// container has ended, or was killed before it could do either. So it stays exited, and is told no more: who has seen an end does not
// expect it to run again, and who has not lists everything when he is connected to this daemon. logged is called when its log is complete.
func (c *Container) clearLater(logged func()) {
	_ = c.op.take(context.Background()) // until it is taken over
	defer c.op.release()
	ctx, cancel := context.WithTimeout(context.Background(), undoTime)
	defer cancel()
	c.completeLog(ctx)
	logged()
	err := c.manager.took(fault.ExitCleared, func() error { return c.deleteTask(ctx) })
	if err != nil {
		log.L.WithError(err).WithField("id", c.ID).Error("clear away a container that has ended; its removal tries again")
	}
}

func (c *Container) openLogAgain(ctx context.Context) {
	err := c.openLog(true)
	if errors.Is(err, errdefs.ErrNotFound) && c.status.State == Starting { // the daemon ended before it had made the FIFOs
		return
	}
	if err != nil {
		log.G(ctx).WithError(err).WithField("id", c.ID).Error("read the container's output again")
	}
}

// endedBefore is the end of a container of which nothing is left but its record and perhaps some output.
func (c *Container) endedBefore() {
	c.completeLog(context.Background())
	c.mu.Lock()
	end := c.lost()
	c.mu.Unlock()
	c.finish(end, false)
	c.tellEnd()
}

var errEndedStarting = errors.New("the daemon ended while the container was being started")

// lost is how a container ended of which nothing is left but its record. mu is held.
func (c *Container) lost() status {
	if c.status.State == Starting {
		return status{Finished: time.Now(), ExitCode: exitCannotRun, Reason: reasonCannotRun, Message: errEndedStarting.Error()}
	}
	return status{Finished: time.Now(), ExitCode: exitUnknown, Reason: reasonUnknown, Message: messageLostRecord}
}
