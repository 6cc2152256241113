// SPDX-License-Identifier: Apache-2.0

package nri

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containerd/nri/pkg/adaptation"
	"github.com/opencontainers/runtime-spec/specs-go"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Callbacks are what plugins need of the rest. None may call Begin, and none may wait for a lock that is
// held while a method of Operation is called: a plugin may ask for something
// while it is being asked.
type Callbacks struct {
	// List returns all pods and containers, for a plugin that has connected. No operation is
	// under way then.
	List func() ([]*Pod, []*Container)
	// Update changes the limits of the container id: those that are set. ErrNotFound when
	// there is none, or none that runs.
	Update func(ctx context.Context, id string, r *runtime.LinuxContainerResources) error

	// InjectCDI puts CDI devices, by their qualified names, into a spec. nil: plugins may not ask for any.
	InjectCDI func(*specs.Spec, []string) error
	// BlockIO resolves a class of the block I/O configuration. nil: there are none.
	BlockIO func(class string) (*specs.LinuxBlockIO, error)
	// CheckResources sees, and may change, what plugins made of the resources of a new container. May be nil.
	CheckResources func(*specs.LinuxResources) error
	// Metrics is told of each request to a plugin. May be nil.
	Metrics adaptation.Metrics
}

// Adaptation is the connection to all plugins. Its methods may be called concurrently. A nil
// Adaptation, and one that is disabled, has no plugins.
type Adaptation struct {
	callbacks Callbacks
	nri       *adaptation.Adaptation // nil when disabled
	plugins   atomic.Int64
	known     known
	// nobody says that the first synchronization, of what is installed, has nobody to tell.
	nobody atomic.Bool

	// For what runs without an operation of its caller.
	ctx    context.Context
	cancel context.CancelFunc
	mu     sync.Mutex // guards closed, and wg against Add after Wait
	closed bool
	wg     sync.WaitGroup
}

// New returns an Adaptation without plugins; Start finds them.
func New(cfg *Config, version string, cb Callbacks) (*Adaptation, error) {
	a := &Adaptation{callbacks: cb, known: known{stopped: map[string]bool{}}}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	if cfg.Disable {
		return a, nil
	}
	cfg.setTimeouts()
	if cb.Metrics == nil {
		cb.Metrics = silent{}
	}
	opts := append(cfg.options(), adaptation.WithMetrics(&counter{cb.Metrics, &a.plugins}))
	n, err := adaptation.New("sardine", version, a.synchronize, a.update, opts...)
	if err != nil {
		a.cancel()
		return nil, fmt.Errorf("nri: %w", err)
	}
	a.nri = n
	a.nobody.Store(!cfg.installed())
	return a, nil
}

// Start starts the plugins that are installed and then lets others connect. Pods of an earlier
// daemon must be known by then. It waits for each installed plugin, at most for the timeouts.
func (a *Adaptation) Start() error {
	if a == nil || a.nri == nil {
		return nil
	}
	if err := a.nri.Start(); err != nil {
		return fmt.Errorf("nri: start: %w", err)
	}
	return nil
}

// Stop ends the plugins that Start has started, and waits for notifications under way. Those
// that connected see their connection end with the process.
func (a *Adaptation) Stop() {
	if a == nil {
		return
	}
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.cancel()
	a.wg.Wait()
	if a.nri != nil {
		a.nri.Stop()
		a.plugins.Store(0)
	}
}

// Active reports whether there are plugins. Within an operation ask Operation.Active.
func (a *Adaptation) Active() bool { return a != nil && a.plugins.Load() > 0 }

// ContainerExited tells plugins, later, that a container ended by itself. It does not block. Whether there are plugins is seen
// then: one that is just being synchronized was perhaps told that the container runs, and is not counted yet. describe is called only
// if there are any.
func (a *Adaptation) ContainerExited(id string, describe func() (*Pod, *Container, error)) {
	if a == nil || a.nri == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closed {
		a.wg.Go(func() { a.tellExit(id, describe) })
	}
}

func (a *Adaptation) tellExit(id string, describe func() (*Pod, *Container, error)) {
	op := a.Begin()
	defer op.End()
	if !op.Active() {
		return
	}
	p, c, err := describe()
	if err == nil {
		err = op.StopContainer(a.ctx, p, c)
	}
	if err != nil && !errdefs.IsNotFound(err) && a.ctx.Err() == nil { // not found: it was removed, and that was told
		log.G(a.ctx).WithError(err).WithField("container", id).Warn("nri: plugins were not told, or failed, when a container had ended")
	}
}

// counter learns of the number of plugins, which the adaptation tells nobody but its metrics, and
// passes on the rest. It is called under the lock that excludes operations, or in one.
type counter struct {
	adaptation.Metrics
	plugins *atomic.Int64
}

func (c *counter) UpdatePluginCount(n int) {
	c.plugins.Store(int64(n))
	c.Metrics.UpdatePluginCount(n)
}

// silent counts nothing.
type silent struct{}

func (silent) RecordPluginInvocation(string, string, error)      {}
func (silent) RecordPluginLatency(string, string, time.Duration) {}
func (silent) UpdatePluginCount(int)                             {}
func (silent) RecordPluginAdjustments(string, string, *adaptation.ContainerAdjustment, int, int) {
}
