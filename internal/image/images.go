// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/imageverifier"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"golang.org/x/sync/semaphore"

	"github.com/sardine-run/sardine/internal/kernel"
)

// Namespace is containerd's namespace of all images here.
const Namespace = "k8s.io"

// Deps are what Images stands on.
type Deps struct {
	// Client is containerd's, on in-memory services or any other.
	Client *containerd.Client
	// Roots are the directories of snapshotters, for the use of disk space.
	Roots map[string]string
	// Layers are directories of the writable layers of containers; their use is reported too.
	Layers []string
	// Features tells whether the kernel has volatile overlays; nil is none.
	Features *kernel.Features
	// Verifiers are asked, in the order of their names, before an image is fetched.
	Verifiers map[string]imageverifier.ImageVerifier
}

// Images is the node's images.
type Images struct {
	settings  settings
	client    *containerd.Client
	store     images.Store
	content   content.Store
	leases    leases.Manager
	events    events.Subscriber
	verifiers map[string]imageverifier.ImageVerifier
	unpacking *keylock
	downloads *semaphore.Weighted // nil is no limit

	index     *index
	views     *views
	flights   *flights
	usage     *usage
	refreshes sync.Mutex // held from reading a name to remembering it
	ready     chan struct{}
	failed    atomic.Pointer[error] // why the images could not be read; nil when they were

	ctx    context.Context
	cancel context.CancelFunc
	closes sync.Mutex // orders the end and what still begins
	closed bool
	work   sync.WaitGroup
}

// New starts to read the images there are and to follow what other clients do with them.
// ErrInvalidArgument for a mistake in c, ErrNotFound for a snapshotter that is not there.
func New(c Config, deps Deps) (*Images, error) {
	s, warnings, err := c.check()
	if err != nil {
		return nil, fmt.Errorf("images: %w", err)
	}
	for _, w := range warnings {
		log.L.Warn("images: " + w)
	}
	ctx, cancel := context.WithCancel(namespaces.WithNamespace(context.Background(), Namespace))
	i := &Images{
		settings: s, client: deps.Client, store: deps.Client.ImageService(), content: deps.Client.ContentStore(),
		leases: deps.Client.LeasesService(), events: deps.Client.EventService(), verifiers: deps.Verifiers,
		unpacking: newKeylock(), index: newIndex(), flights: newFlights(), ready: make(chan struct{}), ctx: ctx, cancel: cancel,
	}
	if s.MaxConcurrentDownloads > 0 {
		i.downloads = semaphore.NewWeighted(int64(s.MaxConcurrentDownloads))
	}
	i.views = newViews(i, deps.Features)
	i.usage = newUsage(i, deps)
	if err := i.checkSnapshotters(); err != nil {
		cancel()
		return nil, err
	}
	i.background(i.follow)
	return i, nil
}

// Close ends pulls and whatever is under way, and waits for it. Views that are still used
// stay on disk.
func (i *Images) Close() error {
	i.closes.Lock()
	i.closed = true
	i.closes.Unlock()
	i.cancel()
	i.work.Wait()
	return nil
}

// background does something that Close waits for. It tells whether it does: not any more after
// Close.
func (i *Images) background(f func()) bool {
	i.closes.Lock()
	defer i.closes.Unlock()
	if !i.closed {
		i.work.Go(f)
	}
	return !i.closed
}

// snapshotterNames are all that this configuration uses, the default one first.
func (s *settings) snapshotterNames() []string {
	names := []string{s.Snapshotter}
	for _, handler := range slices.Sorted(maps.Keys(s.handler)) {
		if name := s.handler[handler].snapshotter; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func (i *Images) checkSnapshotters() error {
	for _, name := range i.settings.snapshotterNames() {
		if _, err := i.snapshotter(name); err != nil {
			return fmt.Errorf("images: %w", err)
		}
	}
	return nil
}

// snapshotter returns the snapshotter of that name, "" being the default one.
func (i *Images) snapshotter(name string) (snapshots.Snapshotter, error) {
	sn := i.client.SnapshotService(orDefault(name, i.settings.Snapshotter))
	if sn == nil {
		return nil, fmt.Errorf("snapshotter %q: %w", name, errdefs.ErrNotFound)
	}
	return sn, nil
}

// loaded waits until the images there are were read.
func (i *Images) loaded(ctx context.Context) error {
	select {
	case <-i.ready:
		if err := i.failed.Load(); err != nil {
			return fmt.Errorf("%w: %w", *err, errdefs.ErrUnavailable)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("reading the node's images: %w", ctx.Err())
	case <-i.ctx.Done():
		return fmt.Errorf("images are closed: %w", errdefs.ErrUnavailable)
	}
}

// scoped returns the caller's context in our namespace; it ends with i as well.
func (i *Images) scoped(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(namespaces.WithNamespace(ctx, Namespace))
	stop := context.AfterFunc(i.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}
