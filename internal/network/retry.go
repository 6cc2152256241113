// SPDX-License-Identifier: Apache-2.0

package network

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/containerd/log"
)

const (
	retryWidth  = 2   // tries at once
	retryGrowth = 300 // the longest wait, in multiples of the first
)

// retries are sandboxes that wait for one more DEL. They do not wait longer than five minutes with
// the default configuration, whatever happens.
type retries struct {
	first time.Duration
	try   func(context.Context, string) error

	mu      sync.Mutex
	waiting map[string]*retry
	wake    chan struct{} // something is due earlier than it was
}

type retry struct {
	due      time.Time
	wait     time.Duration // after the next failure
	running  bool
	reported bool
}

func newRetries(first time.Duration, try func(context.Context, string) error) *retries {
	return &retries{first: first, try: try, waiting: map[string]*retry{}, wake: make(chan struct{}, 1)}
}

// add has a sandbox tried after the first wait, unless it is known already.
func (q *retries) add(id string) { q.addAfter(id, q.first) }

// addNow has a sandbox tried at once, unless it is known already.
func (q *retries) addNow(id string) { q.addAfter(id, 0) }

func (q *retries) addAfter(id string, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting[id] == nil {
		q.waiting[id] = &retry{due: time.Now().Add(wait), wait: 2 * q.first}
		q.nudge()
	}
}

// drop forgets a sandbox.
func (q *retries) drop(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.waiting, id)
}

func (q *retries) has(id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting[id] != nil
}

func (q *retries) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

func (q *retries) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// run tries what is due until ctx ends, and returns when no try is under way.
func (q *retries) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	width := make(chan struct{}, retryWidth)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.wake:
		case <-timer.C:
		}
		for _, id := range q.due() {
			select {
			case <-ctx.Done():
				return
			case width <- struct{}{}:
			}
			wg.Go(func() {
				defer func() { <-width }()
				q.attempt(ctx, id)
			})
		}
		timer.Reset(q.untilNext())
	}
}

// due takes what is to be tried now.
func (q *retries) due() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	var ids []string
	for id, r := range q.waiting {
		if !r.running && !r.due.After(time.Now()) {
			r.running = true
			ids = append(ids, id)
		}
	}
	return ids
}

func (q *retries) untilNext() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	next := time.Hour
	for _, r := range q.waiting {
		if !r.running {
			next = min(next, time.Until(r.due))
		}
	}
	return max(next, 0)
}

func (q *retries) attempt(ctx context.Context, id string) {
	err := q.try(ctx, id)
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.waiting[id]
	if err == nil || r == nil {
		delete(q.waiting, id)
		return
	}
	r.running = false
	r.due = time.Now().Add(jitter(r.wait))
	r.wait = min(2*r.wait, retryGrowth*q.first)
	if !r.reported && ctx.Err() == nil {
		log.L.WithError(err).WithField("sandbox", id).Warn("cni: cannot be detached yet, will be tried until it can")
		r.reported = true
	}
	q.nudge()
}

// jitter keeps sandboxes that failed together from being tried together for ever.
func jitter(wait time.Duration) time.Duration {
	return wait*3/4 + rand.N(wait/2+1)
}
