// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"context"
	"errors"
	"io/fs"
	"sync"
)

// maxNetworks bounds how many directories are remembered while nobody works in them.
const maxNetworks = 64

// networks are the directories that were used last, by path.
type networks struct {
	mu      sync.Mutex
	entries map[string]*network
	clock   uint64
}

// network is what is known of a directory.
type network struct {
	turn chan struct{} // has room for one: who put it there works in the directory

	// Guarded by networks.mu.
	users int    // calls that work in it or wait
	used  uint64 // when, by networks.clock

	// Guarded by turn.
	index *index // nil when nothing is known
	stamp stamp  // of the directory when index was right
}

// visit calls f in the network's directory, locked. Without create, f is not called and nil is returned when there is no
// such directory: nothing is leased.
func (n *networks) visit(ctx context.Context, path string, create bool, f func(*directory) error) error {
	w, err := n.enter(ctx, path)
	if err != nil {
		return unusable(path, err)
	}
	defer n.leave(w)
	d, err := openLocked(ctx, path, create)
	if errors.Is(err, fs.ErrNotExist) && !create {
		w.index = nil
		return nil
	}
	if err != nil {
		return unusable(path, err)
	}
	defer d.close()
	return unusable(path, w.work(ctx, d, f))
}

// work lends the index to d for f. When something failed in between, the next call reads the directory anew.
func (w *network) work(ctx context.Context, d *directory, f func(*directory) error) error {
	d.index, w.index = w.index, nil
	if d.index != nil && !d.is(w.stamp) {
		d.index = nil
	}
	if d.index == nil {
		if err := d.read(ctx); err != nil {
			return err
		}
	}
	err := f(d)
	if d.index == nil || d.index.leases > maxLeases {
		return err
	}
	if d.changed {
		if d.mark() != nil {
			return err
		}
		w.stamp = d.stamp
	}
	w.index = d.index
	return err
}

// enter waits for the turn in the directory at path.
func (n *networks) enter(ctx context.Context, path string) (*network, error) {
	w := n.entry(path)
	select {
	case w.turn <- struct{}{}:
		return w, nil
	case <-ctx.Done():
		n.unuse(w)
		return nil, ctx.Err()
	}
}

func (n *networks) leave(w *network) {
	<-w.turn
	n.unuse(w)
}

func (n *networks) entry(path string) *network {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.entries == nil {
		n.entries = map[string]*network{}
	}
	w := n.entries[path]
	if w == nil {
		n.makeRoom()
		w = &network{turn: make(chan struct{}, 1)}
		n.entries[path] = w
	}
	n.clock++
	w.users, w.used = w.users+1, n.clock
	return w
}

func (n *networks) unuse(w *network) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w.users--
}

// makeRoom forgets the directory that was not used for the longest time. n.mu is held.
func (n *networks) makeRoom() {
	if len(n.entries) < maxNetworks {
		return
	}
	oldest := ""
	for path, w := range n.entries {
		if w.users == 0 && (oldest == "" || w.used < n.entries[oldest].used) {
			oldest = path
		}
	}
	delete(n.entries, oldest) // when all are in use there is none, and each belongs to a call
}
