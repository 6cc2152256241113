// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"

	"github.com/sardine-run/sardine/internal/kernel"
)

// views are the layers that are protected on disk, each by a lease that holds a view of
// the snapshot and the configs of the images. Those of images with a name stay, so that
// no container writes to disk; others go with their last container.
type views struct {
	images   *Images
	volatile func() bool

	mu         sync.Mutex
	kept       map[layersKey]*layers
	reconciled bool             // the users of an earlier daemon's views are known
	unsuited   map[string]error // snapshotters whose views cannot be used
}

type layersKey struct {
	snapshotter string
	chain       digest.Digest
}

// layers are the layers of an image, or of several with the same ones, in a snapshotter.
type layers struct {
	key   layersKey
	files fileCache

	busy chan struct{} // has room for who creates or deletes on disk
	// The rest is guarded by views.mu.
	uses    int
	ready   bool              // on disk, with its lease
	shape   shape             // never changed while ready
	configs map[string]*Image // held by the lease, by id
	left    bool              // by an earlier daemon, and not used yet
}

func newViews(i *Images, features *kernel.Features) *views {
	has := func() bool { return features != nil && features.Has(kernel.FeatureOverlayVolatile) }
	return &views{images: i, volatile: sync.OnceValue(has), kept: map[layersKey]*layers{}, unsuited: map[string]error{}}
}

func newLayers(key layersKey) *layers {
	return &layers{key: key, busy: make(chan struct{}, 1), configs: map[string]*Image{}}
}

// acquire makes use of the layers of an image, and makes them ready if they are not.
func (v *views) acquire(ctx context.Context, img *Image, snapshotter string) (*layers, error) {
	key := layersKey{snapshotter: snapshotter, chain: img.chain}
	v.mu.Lock()
	l := v.kept[key]
	if l == nil {
		l = newLayers(key)
		v.kept[key] = l
	}
	l.uses++
	l.left = false
	ready := l.holds(img.ID)
	v.mu.Unlock()
	if ready {
		return l, nil
	}
	if err := v.makeReady(ctx, l, img); err != nil {
		v.release(l)
		return nil, err
	}
	return l, nil
}

// holds tells whether nothing is left to do on disk for an image.
func (l *layers) holds(id string) bool { return l.ready && l.configs[id] != nil }

// release ends a use.
func (v *views) release(l *layers) {
	v.mu.Lock()
	l.uses--
	idle := v.idle(l)
	v.mu.Unlock()
	if idle {
		v.images.background(func() { v.delete(v.images.ctx, l) })
	}
}

// idle tells whether nobody needs the layers on disk. Call it with mu held.
func (v *views) idle(l *layers) bool {
	return l.uses == 0 && (v.reconciled || !l.left) && !v.images.index.hasLayers(l.key.chain)
}

// abandon deletes what is on disk for layers that no image has any more, once it is not used.
func (v *views) abandon(chain digest.Digest) {
	for _, l := range v.idleOf(chain) {
		v.images.background(func() { v.delete(v.images.ctx, l) })
	}
}

func (v *views) idleOf(chain digest.Digest) []*layers {
	v.mu.Lock()
	defer v.mu.Unlock()
	var idle []*layers
	for key, l := range v.kept {
		if key.chain == chain && v.idle(l) {
			idle = append(idle, l)
		}
	}
	return idle
}

// makeReady lets one caller at a time look for the layers on disk or put them there.
func (v *views) makeReady(ctx context.Context, l *layers, img *Image) error {
	ctx, cancel := v.images.scoped(ctx)
	defer cancel()
	select {
	case l.busy <- struct{}{}:
		defer func() { <-l.busy }()
	case <-ctx.Done():
		return fmt.Errorf("waiting for the layers: %w", context.Cause(ctx))
	}
	v.mu.Lock()
	done, ready, unsuited := l.holds(img.ID), l.ready, v.unsuited[l.key.snapshotter]
	v.mu.Unlock()
	if done || unsuited != nil {
		return unsuited
	}
	s := l.shape
	var err error
	if !ready {
		s, err = v.images.protect(ctx, l.key, img)
	}
	if err == nil {
		err = v.images.protectConfig(ctx, l.key, img.ID)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if errors.Is(err, errUnsuited) {
		v.unsuited[l.key.snapshotter] = err
	}
	if err != nil {
		return err
	}
	l.shape, l.ready = s, true
	l.configs[img.ID] = withoutNames(img)
	return nil
}

// withoutNames is what is known of an image when its names are gone.
func withoutNames(img *Image) *Image {
	return &Image{ID: img.ID, Size: img.Size, Config: img.Config, RuntimeHandler: img.RuntimeHandler, chain: img.chain}
}

// delete takes layers that nobody needs off the disk, and waits until that is done.
func (v *views) delete(ctx context.Context, l *layers) {
	select {
	case l.busy <- struct{}{}:
		defer func() { <-l.busy }()
	case <-ctx.Done():
		return
	}
	v.mu.Lock()
	idle, exists := v.idle(l), v.kept[l.key] == l
	if idle {
		l.ready, l.configs = false, map[string]*Image{} // who comes now waits, and makes it anew
	}
	v.mu.Unlock()
	if !idle || !exists {
		return
	}
	if err := v.images.unprotect(ctx, l.key); err != nil {
		log.G(ctx).WithError(err).WithField("layers", l.key.chain).Warn("delete the view of an unused image; it is tried again after the next start")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if l.uses == 0 {
		delete(v.kept, l.key)
	}
}

// retained finds an image without names of which a view is still there, by its whole id.
func (v *views) retained(id string) *Image {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, l := range v.kept {
		if img := l.configs[id]; img != nil {
			return img
		}
	}
	return nil
}

// withSnapshotter completes an image that is unpacked in another than the default snapshotter.
func (v *views) withSnapshotter(img *Image) *Image {
	names := v.images.settings.snapshotterNames()
	if len(names) == 1 {
		return img
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for n, name := range names {
		if l := v.kept[layersKey{name, img.chain}]; l == nil || !l.ready {
			continue
		}
		if n == 0 {
			return img
		}
		other := *img
		other.Snapshotter = name
		return &other
	}
	return img
}

// Reconcile tells that every container of before the daemon's start has called Use again.
// inUse are ids of images that others still need, without a view. What nobody does is deleted.
func (i *Images) Reconcile(inUse []string) {
	i.background(func() {
		if err := i.loaded(i.ctx); err != nil {
			log.G(i.ctx).WithError(err).Warn("views of an earlier daemon stay")
			return
		}
		for _, l := range i.views.leftovers(inUse) {
			i.views.delete(i.ctx, l)
		}
	})
}

func (v *views) leftovers(inUse []string) []*layers {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.reconciled = true
	var list []*layers
	for _, l := range v.kept {
		needed := slices.ContainsFunc(inUse, func(id string) bool { return l.configs[id] != nil })
		if !needed && v.idle(l) {
			list = append(list, l)
		}
	}
	return list
}

// load finds the views that an earlier daemon made.
func (v *views) load(ctx context.Context) error {
	leases, err := v.images.leases.List(ctx, leaseFilter)
	if err != nil {
		return fmt.Errorf("read views: %w", err)
	}
	for _, lease := range leases {
		key, ok := keyOf(lease)
		v.mu.Lock()
		known := v.kept[key] != nil
		v.mu.Unlock()
		if !ok || known {
			continue
		}
		if err := v.loadOne(ctx, key); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// loadOne remembers the layers of a lease. They are not ready: only who uses them asks the
// snapshotter.
func (v *views) loadOne(ctx context.Context, key layersKey) error {
	l := newLayers(key)
	l.left = true
	configs, err := v.images.protectedConfigs(ctx, key)
	if err != nil {
		return err
	}
	for _, img := range configs {
		l.configs[img.ID] = img
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.kept[key] == nil {
		v.kept[key] = l
	}
	return nil
}
