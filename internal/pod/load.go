// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"sync"
	"sync/atomic"

	"github.com/containerd/log"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/nsstore"
)

// Load takes over the pods that an earlier daemon has recorded: those that run are watched again, the
// end of containers that ended meanwhile is noted, and what a crash left half made is removed. Call it
// once, before anything else.
//
// What has a record that cannot be read is removed, with a word in the log. An error means that the records
// could not be looked at, or that another release has written them: nothing was changed then.
func (m *Manager) Load(ctx context.Context) error {
	sandboxes, err := readAll(m, sandboxesDir, m.readSandbox)
	if err != nil {
		return err
	}
	containers, err := readAll(m, containersDir, m.readContainer)
	if err != nil {
		return err
	}
	spaces, err := m.spaces.Load(keysOf(sandboxes))
	if err != nil {
		return fmt.Errorf("pods: %w", err)
	}
	for _, f := range sandboxes {
		m.discardBad(ctx, sandboxesDir, f.id, f.err, func() error { return m.loadSandbox(ctx, f.value, spaces[f.id]) })
	}
	var logs sync.WaitGroup
	for _, f := range containers {
		m.discardBad(ctx, containersDir, f.id, f.err, func() error { return m.loadContainer(ctx, f.value, &logs) })
	}
	logs.Wait() // drainTime at most
	m.dropOrphans(ctx)
	m.keepNetworks(ctx)
	return nil
}

// errDiscard is of what is not worth keeping: it is removed.
var errDiscard = errors.New("it is removed")

// found is what has a record, or should have.
type found[T any] struct {
	id    string
	value T
	err   error // errUnreadable, or nil
}

func keysOf(sandboxes []found[*Sandbox]) (keys []string) {
	for _, f := range sandboxes {
		if f.err == nil && f.value.phase != stopped {
			keys = append(keys, f.id)
		}
	}
	return keys
}

// readAll reads the records of a kind, on all processors. It changes nothing.
func readAll[T any](m *Manager, kind string, read func(id string) (T, error)) ([]found[T], error) {
	entries, err := os.ReadDir(filepath.Join(m.State, kind))
	if err != nil {
		return nil, fmt.Errorf("pods: %w", err)
	}
	all := make([]found[T], len(entries))
	var next atomic.Int64
	var readers sync.WaitGroup
	for range goruntime.GOMAXPROCS(0) {
		readers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(all)); i = next.Add(1) - 1 {
				id := entries[i].Name()
				value, err := read(id)
				all[i] = found[T]{id, value, err}
			}
		})
	}
	readers.Wait()
	for _, f := range all {
		if f.err != nil && !errors.Is(f.err, errUnreadable) {
			return nil, fmt.Errorf("pods: %s %s: %w", kind, f.id, f.err)
		}
	}
	return all, nil
}

// discardBad takes over what has a record that could be read, and removes what cannot be taken over.
func (m *Manager) discardBad(ctx context.Context, kind, id string, err error, load func() error) {
	if err == nil {
		err = load()
	}
	if err != nil {
		log.G(ctx).WithError(err).WithField("id", id).Warnf("take over %s", kind)
		discard(ctx, filepath.Join(m.State, kind, id))
	}
}

// discard removes the record dir. The rest of a pod or container, its process above all, is an orphan then. What cannot be
// removed is in nobody's way.
func discard(ctx context.Context, dir string) {
	if err := os.RemoveAll(dir); err != nil {
		log.G(ctx).WithError(err).Error("remove what is left of a pod")
	}
}

func (m *Manager) readSandbox(id string) (*Sandbox, error) {
	s := &Sandbox{ID: id, manager: m, op: newLock(), containers: map[string]*Container{}}
	return s, s.restore()
}

// loadSandbox takes over a pod, whose namespaces are nil if there are none.
func (m *Manager) loadSandbox(ctx context.Context, s *Sandbox, spaces *nsstore.Set) error {
	if s.phase == making {
		if spaces != nil {
			spaces.Close()
		}
		return fmt.Errorf("the daemon ended before the pod was made: %w", errDiscard)
	}
	var err error
	if s.handler, err = m.handler(s.HandlerName); err != nil {
		log.G(ctx).WithError(err).WithField("id", s.ID).Warn("the pod's runtime handler is gone from the configuration; it goes on with the default one")
		s.handler = m.Handlers[m.DefaultHandler]
	}
	if err := m.reserveSandbox(s); err != nil {
		return fmt.Errorf("%w: %w", errDiscard, err)
	}
	m.labels.hold(s.labels.Process)
	if s.spaces = spaces; spaces == nil {
		s.phase, s.network = withoutSpaces(s.phase), nil
	}
	s.holder, _ = m.Containers.Get(holderNamespace, s.ID)
	m.addSandbox(s)
	return nil
}

// withoutSpaces is the phase of a pod without namespaces. They go last when it is stopped; otherwise somebody has removed the pins, and the
// pod is not ready. What is left of its network is detached by Networks.Keep.
func withoutSpaces(p phase) phase {
	if p == ready {
		return stopping
	}
	return stopped
}

// restore reads the record.
func (s *Sandbox) restore() error {
	var r sandboxRecord
	if err := readRecord(s.dir(), &r, &r.Version); err != nil {
		return err
	}
	cfg := &runtime.PodSandboxConfig{}
	if err := decode(r.Config, cfg); err != nil {
		return err
	}
	if r.ID != s.ID || cfg.Metadata == nil {
		return fmt.Errorf("%w: it is of another pod %q", errUnreadable, shorten(r.ID))
	}
	for _, data := range [][]byte{r.Overhead, r.Resources} {
		if _, err := unpack[runtime.LinuxContainerResources](data); err != nil {
			return err
		}
	}
	s.configure(cfg, r.Config)
	s.HandlerName, s.Created, s.phase, s.network, s.labels = share(r.Handler), r.Created, r.Phase, r.Network, r.Labels
	s.overhead, s.resources = r.Overhead, r.Resources
	return nil
}

// dropOrphans removes what no record speaks of: a crash came between two steps, or the record could not be read.
func (m *Manager) dropOrphans(ctx context.Context) {
	errs := m.endOrphans(ctx)
	gone, err := m.dropLayers()
	errs = append(errs, err)
	if len(gone) > 0 {
		m.inBackground(func() { sweepCgroups(m.Containers.Cgroups, gone) })
	}
	for _, h := range m.Containers.List(holderNamespace) {
		if s := m.sandboxes.all[h.ID()]; s == nil || s.phase == stopped {
			errs = append(errs, (&Sandbox{ID: h.ID(), manager: m}).endHolder(ctx))
		}
	}
	keys, err := m.spaces.List()
	errs = append(errs, err, m.spaces.Sweep())
	for _, key := range keys {
		if s := m.sandboxes.all[key]; s == nil || s.phase == stopped {
			errs = append(errs, m.spaces.Remove(key))
		}
	}
	if err := errors.Join(errs...); err != nil {
		log.G(ctx).WithError(err).Error("remove what is left of pods")
	}
}

// dropLayers drops the writable layers of containers without a record, and returns their ids.
func (m *Manager) dropLayers() (gone []string, err error) {
	ids, err := m.layers.list()
	for _, id := range ids {
		if m.containers.all[id] == nil && m.sandboxes.all[id] == nil {
			gone = append(gone, id)
			err = errors.Join(err, m.layers.drop(id))
		}
	}
	return gone, err
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
