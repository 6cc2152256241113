// SPDX-License-Identifier: Apache-2.0

package task

import (
	"context"
	"sync"

	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/log"
)

// publisher sends events in the order in which they were queued, from one goroutine, so
// that a slow subscriber holds up nobody who reports.
type publisher struct {
	to   events.Publisher
	done chan struct{}

	mu     sync.Mutex
	wake   sync.Cond // queue or closed has changed
	queue  []queued
	closed bool
}

type queued struct {
	namespace string
	event     events.Event
}

func newPublisher(to events.Publisher) *publisher {
	p := &publisher{to: to, done: make(chan struct{})}
	p.wake.L = &p.mu
	go p.run()
	return p
}

// publish queues an event. It never blocks.
func (p *publisher) publish(namespace string, event events.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, queued{namespace, event})
	p.wake.Signal()
}

// close returns when what was queued is sent. Later events are dropped.
func (p *publisher) close() error {
	p.mu.Lock()
	p.closed = true
	p.wake.Signal()
	p.mu.Unlock()
	<-p.done
	return nil
}

func (p *publisher) run() {
	defer close(p.done)
	for batch := p.next(); batch != nil; batch = p.next() {
		for _, q := range batch {
			ctx := namespaces.WithNamespace(context.Background(), q.namespace)
			if err := p.to.Publish(ctx, runtime.GetTopic(q.event), q.event); err != nil {
				log.G(ctx).WithError(err).Errorf("publish %T", q.event)
			}
		}
	}
}

// next waits for events and takes all; nil means the end.
func (p *publisher) next() []queued {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) == 0 && !p.closed {
		p.wake.Wait()
	}
	batch := p.queue
	p.queue = nil
	return batch
}
