// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/log"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/image"
	"github.com/sardine-run/sardine/internal/podspec"
)

// loadContainer takes over a container of an earlier daemon.
func (m *Manager) loadContainer(ctx context.Context, id string) error {
	c := &Container{ID: id, manager: m, op: newLock()}
	if err := c.restore(); err != nil {
		return err
	}
	if err := m.reserveContainer(c); err != nil {
		return fmt.Errorf("%w: %w", errDiscard, err)
	}
	m.labels.hold(c.processLabel)
	c.hold(ctx)
	c.Sandbox.containers[id] = c
	m.addContainer(c)
	c.resume(ctx)
	return nil
}

// restore reads the record.
func (c *Container) restore() error {
	var r containerRecord
	if err := readRecord(c.dir(), &r); err != nil {
		return err
	}
	c.Created, c.image, c.stopSignal, c.volumes, c.status = r.Created, r.Image, r.StopSignal, r.Volumes, r.Status
	c.processLabel, c.joined = r.ProcessLabel, r.Joined
	c.Config = &runtime.ContainerConfig{}
	if err := decode(r.Config, c.Config); err != nil {
		return err
	}
	if r.ID != c.ID || c.Config.Metadata == nil {
		return fmt.Errorf("%w: it is of another container %q", errUnreadable, shorten(r.ID))
	}
	if len(c.image.Volumes) != len(c.imageVolumes()) {
		return fmt.Errorf("%w: it has %d image volumes, its configuration %d", errUnreadable, len(c.image.Volumes), len(c.imageVolumes()))
	}
	var err error
	if c.user, err = decodeUser(r.User); err != nil {
		return err
	}
	c.manager.mu.Lock()
	c.Sandbox = c.manager.sandboxes.all[r.Sandbox]
	c.manager.mu.Unlock()
	if c.Sandbox == nil {
		return fmt.Errorf("its pod sandbox %s is gone: %w", shorten(r.Sandbox), errDiscard)
	}
	if spec, _, err := c.readSpec(); err == nil {
		c.resources = podspec.StatusResources(spec).Linux
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

// resume goes on with the container where the earlier daemon stopped.
func (c *Container) resume(ctx context.Context) {
	if c.ended == nil {
		return
	}
	task, err := c.manager.Containers.Get(Namespace, c.ID)
	if err != nil {
		c.finish(c.lost())
		return
	}
	if task.Status().State == container.Created {
		c.failStart(ctx, errEndedStarting)
		return
	}
	c.mu.Lock()
	c.status.State, c.task = Running, task
	c.mu.Unlock()
	if err := c.openLog(true); err != nil {
		log.G(ctx).WithError(err).WithField("id", c.ID).Error("read the container's output again")
	}
	// An end from now on is observed.
	if now := task.Status(); now.State == container.Stopped {
		c.manager.inBackground(func() { c.exited(task, now.Exit) })
	}
}

var errEndedStarting = errors.New("the daemon ended while the container was being started")

// lost is how a container ended of which nothing is left but its record.
func (c *Container) lost() status {
	switch {
	case !c.status.Finished.IsZero():
		return c.status
	case c.status.State == Starting:
		return status{Finished: time.Now(), ExitCode: exitCannotRun, Reason: reasonCannotRun, Message: errEndedStarting.Error()}
	}
	return status{Finished: time.Now(), ExitCode: exitUnknown, Reason: reasonUnknown, Message: messageLostRecord}
}
