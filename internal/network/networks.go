// SPDX-License-Identifier: Apache-2.0

package network

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/invoke"

	"github.com/sardine-run/sardine/internal/cniplugin"
)

// Attacher is what pods need. *Networks implements it.
type Attacher interface {
	// Ready is nil when pods can be attached, or says why not: the kubelet's NetworkReady.
	Ready() error
	// Setup attaches. On error everything done so far is undone, or recorded to be undone later.
	Setup(ctx context.Context, a *Attachment) (*Result, error)
	// Teardown detaches the sandbox id, in its namespace at netns ("" when that is gone already). When a plugin
	// fails, it is tried again in the background until it succeeds and the error is returned. nil
	// when nothing is attached. The path is not used after Teardown returned.
	Teardown(ctx context.Context, id, netns string) error
	// Check runs the plugins' CHECK: nil when the sandbox id is attached as it was by Setup.
	// ErrNotFound when nothing is attached, ErrNotImplemented when no network has the verb.
	Check(ctx context.Context, id, netns string) error
	// Keep is called once, after a start and before Setup, with the sandboxes that exist: what else is recorded is
	// detached, and plugins with the verb GC are told.
	Keep(ctx context.Context, ids []string)
	// SetPodCIDR fills in the configured conf_template. cidrs are separated by commas.
	SetPodCIDR(cidrs string) error
}

var _ Attacher = (*Networks)(nil)

// Networks attaches and detaches pods, and goes on detaching what could not be detached.
type Networks struct {
	config   Config
	exec     invoke.Exec
	inside   *cniplugin.Set // exec, when there are plugins that are not executed; nil otherwise
	cni      *libcni.CNIConfig
	path     string // CNI_PATH
	chains   chains
	cache    cache
	records  store
	standard *directory
	handlers map[string]*directory

	gate    *gate
	locks   locks
	counter counter
	status  status
	cidrs   podCIDRs
	retries *retries
	garbage *garbage

	background context.Context // ends with Close
	stop       context.CancelFunc
	workers    sync.WaitGroup

	inherited []string // sandboxes of an earlier daemon, until Keep
}

// New takes over what an earlier daemon left in the state directory and begins to detach what
// that could not. Close ends it.
func New(config Config) (*Networks, error) {
	config, err := config.complete()
	if err != nil {
		return nil, err
	}
	n := &Networks{
		config:   config,
		exec:     &runner{},
		path:     strings.Join(config.BinDirs, string(filepath.ListSeparator)),
		cache:    cache{dir: config.CacheDir},
		records:  storeIn(config.StateDir),
		standard: &directory{path: config.ConfDir, max: config.MaxConfNum},
		handlers: map[string]*directory{},
		gate:     newGate(config.Concurrency),
		locks:    locks{held: map[string]chan struct{}{}},
	}
	if config.Plugins != nil {
		n.inside = config.Plugins(&runner{})
		n.exec = n.inside
	}
	n.cni = libcni.NewCNIConfigWithCacheDir(config.BinDirs, config.CacheDir, n.exec)
	if config.DefaultNetwork {
		n.standard.otherwise = func() (*configuration, error) { return defaultConfiguration(filepath.Join(config.CacheDir, "default")) }
	}
	for name, h := range config.Handlers {
		n.addHandler(name, h)
	}
	if err := n.records.check(); err != nil {
		return nil, err
	}
	for _, dir := range []string{n.records.dir, config.CacheDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("cni: %w: %w", err, errdefs.ErrInternal)
		}
	}
	if err := n.cidrs.load(filepath.Join(config.StateDir, "pod-cidrs")); err != nil {
		return nil, err
	}
	return n, n.start()
}

func (n *Networks) addHandler(name string, h Handler) {
	if h.ConfDir == "" {
		return
	}
	if h.MaxConfNum == 0 {
		h.MaxConfNum = n.config.MaxConfNum
	}
	n.handlers[name] = &directory{path: h.ConfDir, max: h.MaxConfNum}
}

// start reads the records and begins the work in the background.
func (n *Networks) start() error {
	marked, err := n.records.load()
	if err != nil {
		return err
	}
	if n.inherited, err = n.records.ids(); err != nil {
		return err
	}
	n.background, n.stop = context.WithCancel(context.Background())
	n.retries = newRetries(n.config.RetryAfter, n.again)
	n.garbage = newGarbage()
	for _, id := range marked {
		n.retries.add(id)
	}
	n.workers.Go(func() { n.retries.run(n.background) })
	n.workers.Go(func() { n.collect(n.background) })
	return nil
}

// Close ends the work in the background and waits for it; what is left is recorded. Calls that are under
// way are their callers' to end.
func (n *Networks) Close() error {
	n.stop()
	n.workers.Wait()
	return nil
}

// of returns the directory of a runtime handler's networks.
func (n *Networks) of(handler string) *directory {
	if d, ok := n.handlers[handler]; ok {
		return d
	}
	return n.standard
}
