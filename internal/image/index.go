// SPDX-License-Identifier: Apache-2.0

package image

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// index knows all names and images of the node. It only remembers: who changes it has read
// the stores.
type index struct {
	mu     sync.RWMutex
	names  map[string]name
	images map[digest.Digest]*entry
	facts  map[digest.Digest][]facts // by target of the names there are
	chains map[digest.Digest]int     // images with these layers
}

// name is a record of containerd's image store.
type name struct {
	target digest.Digest
	pinned bool
	ids    []digest.Digest // on each platform, the preferred one first
}

// entry is an image with at least one name.
type entry struct {
	facts
	names map[string]struct{}
	shown *Image // replaced, never changed
}

func newIndex() *index {
	return &index{
		names: map[string]name{}, images: map[digest.Digest]*entry{},
		facts: map[digest.Digest][]facts{}, chains: map[digest.Digest]int{},
	}
}

// known returns the facts of a target that a name already points to.
func (x *index) known(target digest.Digest) ([]facts, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	f, ok := x.facts[target]
	return f, ok
}

// set makes a name point to images. It returns the layers that no image has any more.
func (x *index) set(key string, target digest.Digest, pinned bool, found []facts) (orphans []digest.Digest) {
	x.mu.Lock()
	defer x.mu.Unlock()
	old, existed := x.names[key]
	n := name{target: target, pinned: pinned}
	for _, f := range found {
		n.ids = append(n.ids, f.id)
		e := x.images[f.id]
		if e == nil {
			e = &entry{facts: f, names: map[string]struct{}{}}
			x.images[f.id] = e
			x.chains[f.chain]++
		}
		e.names[key] = struct{}{}
	}
	x.names[key] = n
	x.facts[target] = found
	if existed {
		orphans = x.leave(key, old, n)
	}
	for _, id := range n.ids {
		x.show(id)
	}
	return orphans
}

// drop forgets a name. It returns the layers that no image has any more.
func (x *index) drop(key string) (orphans []digest.Digest) {
	x.mu.Lock()
	defer x.mu.Unlock()
	old, ok := x.names[key]
	if !ok {
		return nil
	}
	delete(x.names, key)
	return x.leave(key, old, name{})
}

// leave takes the name off the images it pointed to and does not any more.
func (x *index) leave(key string, old, now name) (orphans []digest.Digest) {
	for _, id := range old.ids {
		e := x.images[id]
		if e == nil || slices.Contains(now.ids, id) {
			continue
		}
		delete(e.names, key)
		if len(e.names) > 0 {
			x.show(id)
			continue
		}
		delete(x.images, id)
		if x.chains[e.chain]--; x.chains[e.chain] == 0 {
			delete(x.chains, e.chain)
			orphans = append(orphans, e.chain)
		}
	}
	if old.target != now.target && !x.targeted(old.target) {
		delete(x.facts, old.target)
	}
	return orphans
}

func (x *index) targeted(target digest.Digest) bool {
	for _, n := range x.names {
		if n.target == target {
			return true
		}
	}
	return false
}

// show makes the Image that callers get.
func (x *index) show(id digest.Digest) {
	e := x.images[id]
	img := e.image()
	for _, key := range slices.Sorted(maps.Keys(e.names)) {
		n := x.names[key]
		img.Target = n.target.String()
		img.Pinned = img.Pinned || n.pinned
		tagged, canonical := kindOf(key)
		switch {
		case tagged:
			img.Tags = append(img.Tags, key)
		case canonical:
			img.Digests = append(img.Digests, key)
		}
	}
	e.shown = img
}

func (f facts) image() *Image {
	return &Image{ID: f.id.String(), Size: f.size, Config: f.config, RuntimeHandler: f.handler, chain: f.chain}
}

func (x *index) list() []*Image {
	x.mu.RLock()
	defer x.mu.RUnlock()
	list := make([]*Image, 0, len(x.images))
	for _, e := range x.images {
		list = append(list, e.shown)
	}
	slices.SortFunc(list, func(a, b *Image) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// byName returns the image of a name: on handler's platform when it has one of its own.
func (x *index) byName(key, handler string) *Image {
	x.mu.RLock()
	defer x.mu.RUnlock()
	n, ok := x.names[key]
	if !ok || len(n.ids) == 0 {
		return nil
	}
	for _, id := range n.ids {
		if e := x.images[id]; handler != "" && e.handler == handler {
			return e.shown
		}
	}
	return x.images[n.ids[0]].shown
}

// byID returns the image whose id begins with prefix. ErrInvalidArgument when several do.
func (x *index) byID(prefix string) (*Image, error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if e := x.images[digest.Digest(prefix)]; e != nil {
		return e.shown, nil
	}
	var found *Image
	for id, e := range x.images {
		if !strings.HasPrefix(id.String(), prefix) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("image id %q is the beginning of several: %w", prefix, errdefs.ErrInvalidArgument)
		}
		found = e.shown
	}
	return found, nil
}

// namesOf returns all names of an image.
func (x *index) namesOf(id digest.Digest) []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	e := x.images[id]
	if e == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(e.names))
}

// allNames returns every name there is.
func (x *index) allNames() []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return slices.Collect(maps.Keys(x.names))
}

// hasLayers tells whether an image has these layers.
func (x *index) hasLayers(chain digest.Digest) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.chains[chain] > 0
}
