// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sardine-run/sardine/internal/cgroup"
	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/image"
	"github.com/sardine-run/sardine/internal/launch"
	"github.com/sardine-run/sardine/internal/network"
	"github.com/sardine-run/sardine/internal/nri"
	"github.com/sardine-run/sardine/internal/nsstore"
	"github.com/sardine-run/sardine/internal/podlog"
	"github.com/sardine-run/sardine/internal/podspec"
)

// Namespace is containerd's namespace of CRI containers.
const Namespace = "k8s.io"

// holderNamespace is that of the processes that hold the pid namespace of a pod whose
// containers share one.
const holderNamespace = "sardine-pods"

// Config is what a Manager works with. It owns none of it.
type Config struct {
	State string // directory of the records, on a tmpfs
	Root  string // directory of writable layers and volumes
	Init  string // path of sardine-init

	Containers *container.Manager
	Launcher   *launch.Launcher
	Images     image.Finder
	Networks   network.Attacher
	Logs       podlog.Logger
	Specs      *podspec.Translator
	Plugins    *nri.Adaptation // nil: none

	Handlers       map[string]*Handler
	DefaultHandler string

	// NamespacePool is how many network namespaces are made ahead, 0 for none.
	NamespacePool int

	// Phase, if not nil, is told how long each step took, by its name in package fault. It must not block.
	Phase func(name string, took time.Duration)
}

// Handler is a runtime handler: a kind of pods.
type Handler struct {
	podspec.Handler
	Snapshotter  string // "" is the default one
	CgroupDriver cgroup.Driver
	NoPivotRoot  bool
	NoNewKeyring bool
}

// Manager holds the pods of the node. Its methods may be called concurrently.
type Manager struct {
	Config
	spaces *nsstore.Store
	layers *layers
	events *events
	labels labels

	background sync.WaitGroup // ends of processes being dealt with

	mu         sync.Mutex // guards what follows
	closed     bool
	sandboxes  index[*Sandbox]
	containers index[*Container]
}

// New returns a Manager without pods; Load finds those of an earlier daemon.
func New(cfg Config) (*Manager, error) {
	for _, dir := range []string{cfg.State, filepath.Join(cfg.State, sandboxesDir), filepath.Join(cfg.State, containersDir)} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return nil, fmt.Errorf("pods: %w", err)
		}
	}
	if err := cfg.Containers.MakeNamespace(holderNamespace); err != nil {
		return nil, fmt.Errorf("pods: %w", err)
	}
	m := &Manager{Config: cfg, events: newEvents()}
	m.sandboxes, m.containers = newIndex[*Sandbox]("pod sandbox"), newIndex[*Container]("container")
	var err error
	if m.layers, err = openLayers(cfg.Root); err != nil {
		return nil, err
	}
	if m.spaces, err = nsstore.Open(filepath.Join(cfg.State, "namespaces")); err != nil {
		m.layers.close()
		return nil, err
	}
	m.spaces.Pool(cfg.NamespacePool)
	cfg.Containers.RecordElsewhere(m.recordsEnd)
	cfg.Containers.Observe(m.observe)
	return m, nil
}

// Close waits for what goes on in the background. It is called when no method is running any more. Pods run on, and what
// they print waits for the next daemon.
func (m *Manager) Close() error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.events.close()
	m.background.Wait()
	m.layers.close()
	for _, s := range m.Sandboxes() {
		if s.spaces != nil {
			s.spaces.Close()
		}
	}
	return m.spaces.Close()
}

// Deleting is how many writable layers were dropped and are still on disk. Their files count as those of containers in CRI's
// ImageFsInfo.
func (m *Manager) Deleting() int { return int(m.layers.trash.waiting.Load()) }

// handler returns the runtime handler name, "" for the default one.
func (m *Manager) handler(name string) (*Handler, error) {
	if name == "" {
		name = m.DefaultHandler
	}
	if h := m.Handlers[name]; h != nil {
		return h, nil
	}
	return nil, notFound("runtime handler %q is not configured", name)
}

// Sandbox finds a pod sandbox by id or by a prefix of it that is not ambiguous.
func (m *Manager) Sandbox(id string) (*Sandbox, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sandboxes.find(id)
}

// Sandboxes lists all, in no order.
func (m *Manager) Sandboxes() []*Sandbox {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sandboxes.list()
}

// Container finds a container by id or by a prefix of it that is not ambiguous.
func (m *Manager) Container(id string) (*Container, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.containers.find(id)
}

// AllContainers lists those of all pods, in no order.
func (m *Manager) AllContainers() []*Container {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.containers.list()
}

// undo is what a failed operation has to take back, in reverse order.
type undo []func(context.Context) error

func (u *undo) add(f func(context.Context) error) { *u = append(*u, f) }

func (u undo) run(ctx context.Context) error {
	ctx, cancel := cleanup(ctx)
	defer cancel()
	var errs []error
	for i := len(u) - 1; i >= 0; i-- {
		errs = append(errs, u[i](ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	return nil
}

// linuxMappings are user namespace maps in the runtime spec's terms.
type linuxMappings = []specs.LinuxIDMapping
