// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups"

	"github.com/sardine-run/sardine/internal/cgroup"
	"github.com/sardine-run/sardine/internal/exits"
	"github.com/sardine-run/sardine/internal/fdstore"
	"github.com/sardine-run/sardine/internal/launch"
	"github.com/sardine-run/sardine/internal/oci"
	"github.com/sardine-run/sardine/internal/stdio"
)

// undoTime bounds what is done to clean up after a failure or a caller that went away.
const undoTime = 10 * time.Second

// Config is what a Manager works with. It owns none of it.
type Config struct {
	// Dir holds the records, on a tmpfs. Made when missing.
	Dir string
	// Links, if not empty, is a directory that gets a symbolic link NAMESPACE/ID to each
	// container's directory: the bundle path that clients and hooks know.
	Links string

	Launcher *launch.Launcher
	Cgroups  *cgroup.Host
	OOM      *cgroup.OOMWatcher // nil: kills are not reported
	Exits    *exits.Watcher
	Store    *fdstore.Store // nil: terminals, open inputs and containers not started end with the daemon

	Host    oci.Host
	Seccomp oci.SeccompCompiler

	// Notify is told what happens, in order for each container. It must not block nor call
	// back into the container.
	Notify func(Event)
	// Phase, if not nil, is told how long each step of a creation, a start and a removal took. The
	// name is the step's in the fault package.
	Phase func(name string, took time.Duration)
}

// Manager holds the containers of the node. Its methods may be called concurrently.
type Manager struct {
	Config

	pump       stdio.Pump // copies for terminals
	background            // what Load has left to be done

	launched, launchFailed, adopted atomic.Uint64

	mu         sync.Mutex
	containers map[key]*Container // nil while it is being created
	observers  []func(Event)      // never changed in place
	elsewhere  func(*Container) bool
}

// key names a container; ids are unique in their namespace.
type key struct{ namespace, id string }

func (k key) String() string { return k.namespace + "/" + k.id }

// New returns a Manager that knows no containers yet; Load finds those of an earlier one.
func New(cfg Config) (*Manager, error) {
	if cfg.Notify == nil {
		cfg.Notify = func(Event) {}
	}
	if err := os.MkdirAll(cfg.Dir, 0o711); err != nil {
		return nil, fmt.Errorf("containers: %w", err)
	}
	openCgroupRoot()
	nobody := func(*Container) bool { return false }
	return &Manager{Config: cfg, containers: map[key]*Container{}, elsewhere: nobody, background: newBackground()}, nil
}

// Close ends what the Manager does by itself. Containers are not touched, and the streams of
// those that run stay as they are, to be taken over by the next daemon.
func (m *Manager) Close() error {
	m.background.close()
	return m.pump.Close()
}

// openCgroupRoot makes the cgroups library open the one descriptor that it keeps for
// good now, so that it is not taken for a leak of the first container that is paused. The
// file need not exist.
func openCgroupRoot() {
	if f, err := cgroups.OpenFile("/sys/fs/cgroup", "cgroup.procs", os.O_RDONLY); err == nil {
		f.Close()
	}
}

// Get returns the container id of namespace, or ErrNotFound.
func (m *Manager) Get(namespace, id string) (*Container, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.containers[key{namespace, id}]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("container %s: %w", key{namespace, id}, errdefs.ErrNotFound)
}

// List returns the containers of namespace, of all when it is empty, in no order.
func (m *Manager) List(namespace string) []*Container {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []*Container
	for k, c := range m.containers {
		if c != nil && (namespace == "" || k.namespace == namespace) {
			list = append(list, c)
		}
	}
	return list
}

// reserve keeps others from using k until add or drop.
func (m *Manager) reserve(k key) error {
	if !fileName(k.namespace) || !fileName(k.id) {
		return fmt.Errorf("container %q: not a file name: %w", k, errdefs.ErrInvalidArgument)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, taken := m.containers[k]; taken {
		return fmt.Errorf("container %s: %w", k, errdefs.ErrAlreadyExists)
	}
	m.containers[k] = nil
	return nil
}

func (m *Manager) add(c *Container) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.containers[c.key] = c
}

func (m *Manager) drop(k key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.containers, k)
}

// fileName reports whether s can name a directory and is not hidden.
func fileName(s string) bool {
	return s != "" && s[0] != '.' && len(s) <= 255 && !strings.ContainsAny(s, "/\x00")
}

// dir is where the records of k lie.
func (m *Manager) dir(k key) string { return filepath.Join(m.Dir, k.namespace, k.id) }

// bundle is the directory of k under the name that others see.
func (m *Manager) bundle(k key) string {
	if m.Links == "" {
		return m.dir(k)
	}
	return filepath.Join(m.Links, k.namespace, k.id)
}

// RecordElsewhere has the ends of those containers not recorded for which f is true: who calls it does that when it is told of one, or
// does not care, and deletes the container then. Should the daemon die in between the next one is told again. f must not call the
// container.
func (m *Manager) RecordElsewhere(f func(*Container) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.elsewhere = f
}

func (m *Manager) recordedElsewhere(c *Container) bool {
	m.mu.Lock()
	f := m.elsewhere
	m.mu.Unlock()
	return f(c)
}

// MakeNamespace makes the directories of a namespace, as its first container would otherwise.
func (m *Manager) MakeNamespace(name string) error {
	if !fileName(name) {
		return fmt.Errorf("namespace %q: not a file name: %w", name, errdefs.ErrInvalidArgument)
	}
	err := os.MkdirAll(filepath.Join(m.Dir, name), 0o711)
	if err == nil && m.Links != "" {
		err = os.MkdirAll(filepath.Join(m.Links, name), 0o711)
	}
	return err
}

// makeDir makes the directory of k and the link to it. One that is there already is of a
// container that another part of the daemon runs.
func (m *Manager) makeDir(k key) error {
	dir := m.dir(k)
	err := os.Mkdir(dir, 0o711)
	if errors.Is(err, os.ErrNotExist) { // the first one of its namespace
		if err = os.MkdirAll(filepath.Dir(dir), 0o711); err == nil {
			err = os.Mkdir(dir, 0o711)
		}
	}
	if err == nil && m.Links != "" {
		if err = m.link(k); err != nil {
			os.Remove(dir)
		}
	}
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("directory of container %s: %w", k, errdefs.ErrAlreadyExists)
	}
	return err
}

func (m *Manager) link(k key) error {
	link := m.bundle(k)
	err := os.Symlink(m.dir(k), link)
	if errors.Is(err, os.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(link), 0o711); err == nil {
			err = os.Symlink(m.dir(k), link)
		}
	}
	return err
}

// removeDir removes the directory of k and the link. The record goes first: what a crash
// leaves then is recognized as a remainder.
func (m *Manager) removeDir(k key) error {
	dir := m.dir(k)
	_ = os.Remove(filepath.Join(dir, recordName))
	if m.Links != "" {
		_ = os.Remove(m.bundle(k))
	}
	return os.RemoveAll(dir)
}

// cleanup is a context for undoing, whatever became of the caller's.
func cleanup(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), undoTime)
}
