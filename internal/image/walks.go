// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
)

const (
	// idleness bounds what walks cost: after one took a second, the next is twenty seconds later.
	idleness = 20
	// patience is how long who starts a walk waits for it. A kubelet does nothing about any shortage, of memory either, while it waits.
	patience = time.Second
)

// written is what has no record of its size and is found by walking it.
type written struct {
	active map[string]snapshots.Usage // containers of other clients, by snapshotter and name
	dirs   []DiskUsage
}

// walks measures in the background when asked, and not again before an age that grows with what it cost.
type walks struct {
	age        time.Duration
	background func(func()) bool
	measure    func(before written) written

	mu      sync.Mutex
	walking bool
	last    written
	until   time.Time
}

// latest returns what the last walk found, before the end of the first what last was made with. If
// one is due it starts it; it goes on without the caller when it takes long.
func (w *walks) latest(ctx context.Context) written {
	if done := w.start(); done != nil {
		late := time.NewTimer(patience)
		defer late.Stop()
		select {
		case <-done:
		case <-late.C:
		case <-ctx.Done():
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// start begins a walk that is due, and returns what is closed at its end; nil if none is.
func (w *walks) start() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.walking || time.Now().Before(w.until) {
		return nil
	}
	done, before := make(chan struct{}), w.last
	w.walking = w.background(func() {
		defer close(done)
		begin := time.Now()
		w.finish(w.measure(before), begin)
	})
	if !w.walking {
		return nil
	}
	return done
}

func (w *walks) finish(found written, begin time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.walking, w.last = false, found
	w.until = time.Now().Add(max(w.age, idleness*time.Since(begin)))
}
