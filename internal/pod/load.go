// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/log"
	"github.com/opencontainers/selinux/go-selinux"
	"google.golang.org/protobuf/proto"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/podlog"
	"github.com/sardine-run/sardine/internal/podspec"
)

// Load takes over the pods that an earlier daemon has recorded: those that run are watched again, the
// end of containers that ended meanwhile is noted, and what a crash left half made is removed. Call it
// once, before anything else. Trouble with one pod is logged and does not keep the others from loading.
func (m *Manager) Load(ctx context.Context) error {
	if err := m.loadAll(ctx, sandboxesDir, m.loadSandbox); err != nil {
		return err
	}
	if err := m.loadAll(ctx, containersDir, m.loadContainer); err != nil {
		return err
	}
	m.dropOrphans(ctx)
	m.keepNetworks(ctx)
	return nil
}

func (m *Manager) loadAll(ctx context.Context, kind string, load func(context.Context, string) error) error {
	dir := filepath.Join(m.State, kind)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("pods: %w", err)
	}
	for _, e := range entries {
		if err := load(ctx, e.Name()); err != nil {
			log.G(ctx).WithError(err).WithField("id", e.Name()).Error("take over " + kind)
		}
	}
	return nil
}

func (m *Manager) loadSandbox(ctx context.Context, id string) error {
	s := &Sandbox{ID: id, manager: m, containers: map[string]*Container{}}
	var r sandboxRecord
	if err := readRecord(s.dir(), &r); err != nil {
		// Without a record nothing else of it was made.
		return errors.Join(ignoreMissing(err), os.RemoveAll(s.dir()))
	}
	s.HandlerName, s.Created, s.phase, s.network, s.labels = r.Handler, r.Created, r.Phase, r.Network, r.Labels
	s.Config = &runtime.PodSandboxConfig{}
	if err := proto.Unmarshal(r.Config, s.Config); err != nil {
		return err
	}
	selinux.ReserveLabel(s.labels.Process)
	var err error
	if s.handler, err = m.handler(s.HandlerName); err != nil {
		log.G(ctx).WithError(err).WithField("id", id).Warn("the pod's runtime handler is gone from the configuration; it goes on with the default one")
		s.handler = m.Handlers[m.DefaultHandler]
	}
	s.openSpaces(ctx)
	s.holder, _ = m.Containers.Get(holderNamespace, id)
	if s.phase == making {
		return errors.Join(s.release(ctx), os.RemoveAll(s.dir()))
	}
	if err := m.reserveSandbox(s); err != nil {
		return err
	}
	m.addSandbox(s)
	return nil
}

// openSpaces finds the namespaces again. Without them the pod is not ready: the node was rebooted, or
// somebody has removed the pins.
func (s *Sandbox) openSpaces(ctx context.Context) {
	set, err := s.manager.spaces.Load(s.ID)
	s.spaces = set
	if err == nil || s.phase == stopped {
		return
	}
	if !errors.Is(err, os.ErrNotExist) {
		log.G(ctx).WithError(err).WithField("id", s.ID).Error("open the pod's namespaces")
	}
	if s.phase == ready {
		s.phase = stopped
	}
}

func (m *Manager) loadContainer(ctx context.Context, id string) error {
	c := &Container{ID: id, manager: m}
	var r containerRecord
	if err := readRecord(c.dir(), &r); err != nil {
		return errors.Join(ignoreMissing(err), m.layers.drop(id), os.RemoveAll(c.dir()))
	}
	m.mu.Lock()
	c.Sandbox = m.sandboxes.all[r.Sandbox]
	m.mu.Unlock()
	if c.Sandbox == nil {
		c.deleteTask(ctx)
		return errors.Join(fmt.Errorf("its pod sandbox %s is gone: it is removed", r.Sandbox), m.layers.drop(id), os.RemoveAll(c.dir()))
	}
	if err := c.restore(&r); err != nil {
		return err
	}
	c.hold(ctx)
	if err := m.reserveContainer(c); err != nil {
		return err
	}
	c.Sandbox.containers[id] = c
	m.addContainer(c)
	return c.resume(ctx)
}

func (c *Container) restore(r *containerRecord) error {
	c.Created, c.image, c.stopSignal, c.volumes, c.status = r.Created, r.Image, r.StopSignal, r.Volumes, r.Status
	c.Config = &runtime.ContainerConfig{}
	if err := proto.Unmarshal(r.Config, c.Config); err != nil {
		return err
	}
	c.processLabel = r.ProcessLabel
	selinux.ReserveLabel(c.processLabel)
	if spec, _, err := c.readSpec(); err == nil {
		c.resources = podspec.StatusResources(spec).Linux
	}
	if c.status.State == Starting || c.status.State == Running {
		c.ended = make(chan struct{})
	}
	var err error
	c.user, err = decodeUser(r.User)
	return err
}

// hold keeps the container's images from garbage collection again.
func (c *Container) hold(ctx context.Context) {
	view, err := c.manager.Images.Use(ctx, c.image.ID, c.image.Snapshotter)
	if err != nil {
		log.G(ctx).WithError(err).WithField("id", c.ID).Warn("the image of a container is gone; its files stay as long as it runs")
	}
	c.view = view
	for _, m := range c.Config.Mounts {
		ref := m.GetImage().GetImage()
		if ref == "" || c.status.State == Created {
			continue
		}
		if v, err := c.manager.Images.Use(ctx, ref, c.image.Snapshotter); err == nil {
			c.volumeViews = append(c.volumeViews, v)
		}
	}
}

// resume goes on with the container where the earlier daemon stopped.
func (c *Container) resume(ctx context.Context) error {
	if c.status.State == Created || c.status.State == Exited {
		return nil
	}
	task, err := c.manager.Containers.Get(Namespace, c.ID)
	if err != nil {
		c.closeWith(exitUnknown, reasonUnknown, messageLostRecord)
		return nil
	}
	if task.Status().State == container.Created {
		c.failStart(ctx, errors.New("the daemon ended while the container was being started"))
		return nil
	}
	c.mu.Lock()
	c.status.State, c.task = Running, task
	c.mu.Unlock()
	if err := c.openLogAgain(); err != nil {
		log.G(ctx).WithError(err).WithField("id", c.ID).Error("read the container's output again")
	}
	if now := task.Status(); now.State == container.Stopped {
		c.exited(task, now.Exit)
	}
	return nil
}

func (c *Container) closeWith(code int32, reason, message string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finish(time.Now(), code, reason, message)
}

func (c *Container) openLogAgain() error {
	streams := c.streams()
	l, err := c.manager.Logs.Open(podlog.Config{ID: c.ID, Stdout: streams.Stdout, Stderr: streams.Stderr, Path: c.logPath()})
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.log = l
	c.mu.Unlock()
	return nil
}

// dropOrphans removes what no record speaks of: a crash came between two steps.
func (m *Manager) dropOrphans(ctx context.Context) {
	ids, err := m.layers.list()
	for _, id := range ids {
		if m.containers.all[id] == nil {
			err = errors.Join(err, m.layers.drop(id))
		}
	}
	keys, lerr := m.spaces.List()
	err = errors.Join(err, lerr)
	for _, key := range keys {
		if m.sandboxes.all[key] == nil {
			err = errors.Join(err, m.spaces.Remove(key))
		}
	}
	for _, h := range m.Containers.List(holderNamespace) {
		if m.sandboxes.all[h.ID()] == nil {
			err = errors.Join(err, (&Sandbox{ID: h.ID(), manager: m}).endHolder(ctx))
		}
	}
	if err != nil {
		log.G(ctx).WithError(err).Error("remove what is left of pods")
	}
}

// keepNetworks tells the networks which pods there are.
func (m *Manager) keepNetworks(ctx context.Context) {
	var ids []string
	for _, s := range m.sandboxes.all {
		if s.phase == ready && !s.HostNetwork() {
			ids = append(ids, s.ID)
		}
	}
	m.Networks.Keep(ctx, ids)
}
