// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/log"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Load takes over the pods that an earlier daemon has recorded: those that run are watched again, the
// end of containers that ended meanwhile is noted, and what a crash left half made is removed. Call it
// once, before anything else.
//
// What has a record that cannot be read is removed, with a word in the log. An error means that the records
// could not be looked at: nothing is removed then.
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

// errDiscard is of what is not worth keeping: it is removed.
var errDiscard = errors.New("it is removed")

func (m *Manager) loadAll(ctx context.Context, kind string, load func(context.Context, string) error) error {
	dir := filepath.Join(m.State, kind)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("pods: %w", err)
	}
	for _, e := range entries {
		err := load(ctx, e.Name())
		if errors.Is(err, errUnreadable) || errors.Is(err, errDiscard) {
			log.G(ctx).WithError(err).WithField("id", e.Name()).Warnf("take over %s", kind)
			discard(ctx, filepath.Join(dir, e.Name()))
			continue
		}
		if err != nil {
			return fmt.Errorf("pods: %s %s: %w", kind, e.Name(), err)
		}
	}
	return nil
}

// discard removes the record dir. The rest of a pod or container, its process above all, is an orphan then. What cannot be
// removed is in nobody's way.
func discard(ctx context.Context, dir string) {
	if err := os.RemoveAll(dir); err != nil {
		log.G(ctx).WithError(err).Error("remove what is left of a pod")
	}
}

func (m *Manager) loadSandbox(ctx context.Context, id string) error {
	s := &Sandbox{ID: id, manager: m, op: newLock(), containers: map[string]*Container{}}
	if err := s.restore(); err != nil {
		return err
	}
	if s.phase == making {
		return fmt.Errorf("the daemon ended before the pod was made: %w", errDiscard)
	}
	var err error
	if s.handler, err = m.handler(s.HandlerName); err != nil {
		log.G(ctx).WithError(err).WithField("id", id).Warn("the pod's runtime handler is gone from the configuration; it goes on with the default one")
		s.handler = m.Handlers[m.DefaultHandler]
	}
	if err := m.reserveSandbox(s); err != nil {
		return fmt.Errorf("%w: %w", errDiscard, err)
	}
	m.labels.hold(s.labels.Process)
	s.openSpaces(ctx)
	s.holder, _ = m.Containers.Get(holderNamespace, id)
	m.addSandbox(s)
	return nil
}

// restore reads the record.
func (s *Sandbox) restore() error {
	var r sandboxRecord
	if err := readRecord(s.dir(), &r); err != nil {
		return err
	}
	s.HandlerName, s.Created, s.phase, s.network, s.labels = r.Handler, r.Created, r.Phase, r.Network, r.Labels
	s.Config = &runtime.PodSandboxConfig{}
	if err := decode(r.Config, s.Config); err != nil {
		return err
	}
	if r.ID != s.ID || s.Config.Metadata == nil {
		return fmt.Errorf("%w: it is of another pod %q", errUnreadable, shorten(r.ID))
	}
	var err error
	if s.overhead, err = decodeResources(r.Overhead); err == nil {
		s.resources, err = decodeResources(r.Resources)
	}
	return err
}

// openSpaces finds the namespaces again. Without them the pod is not ready: somebody has removed the pins, or
// the daemon ended while it was stopping the pod.
func (s *Sandbox) openSpaces(ctx context.Context) {
	if s.phase == stopped {
		return
	}
	var err error
	s.spaces, err = s.manager.spaces.Load(s.ID)
	if err == nil {
		return
	}
	if !errors.Is(err, os.ErrNotExist) {
		log.G(ctx).WithError(err).WithField("id", s.ID).Error("open the pod's namespaces")
	}
	s.phase = stopping
}

// dropOrphans removes what no record speaks of: a crash came between two steps, or the record could not be read.
func (m *Manager) dropOrphans(ctx context.Context) {
	errs := m.endOrphans(ctx)
	ids, err := m.layers.list()
	errs = append(errs, err)
	for _, id := range ids {
		if m.containers.all[id] == nil {
			errs = append(errs, m.layers.drop(id))
		}
	}
	for _, h := range m.Containers.List(holderNamespace) {
		if s := m.sandboxes.all[h.ID()]; s == nil || s.phase == stopped {
			errs = append(errs, (&Sandbox{ID: h.ID(), manager: m}).endHolder(ctx))
		}
	}
	keys, err := m.spaces.List()
	errs = append(errs, err)
	for _, key := range keys {
		if s := m.sandboxes.all[key]; s == nil || s.phase == stopped {
			errs = append(errs, m.spaces.Remove(key))
		}
	}
	if err := errors.Join(errs...); err != nil {
		log.G(ctx).WithError(err).Error("remove what is left of pods")
	}
}

// endOrphans ends the tasks that were started here: they have a writable layer, as none does that was made through
// containerd's own API.
func (m *Manager) endOrphans(ctx context.Context) (errs []error) {
	for _, task := range m.Containers.List(Namespace) {
		id := task.ID()
		if m.containers.all[id] != nil {
			continue
		}
		if _, err := os.Stat(m.layers.of(id).dir); err == nil {
			errs = append(errs, (&Container{ID: id, manager: m}).deleteTask(ctx))
		}
	}
	return errs
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
