// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"sync"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Event is something that happened to a container, or to a sandbox, whose id is then both.
type Event struct {
	Type        runtime.ContainerEventType
	ContainerID string
	Sandbox     *Sandbox
}

// subscriberBuffer is how many events a subscriber may be behind.
const subscriberBuffer = 4096

// events are passed to subscribers. Nothing is kept for those to come.
type events struct {
	mu          sync.Mutex
	subscribers map[chan Event]bool
	closed      bool
}

func newEvents() *events { return &events{subscribers: map[chan Event]bool{}} }

// Subscribe returns events from now on. The channel is closed when the subscriber falls too far
// behind, and by stop, which must be called.
func (m *Manager) Subscribe() (_ <-chan Event, stop func()) {
	e := m.events
	ch := make(chan Event, subscriberBuffer)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		close(ch)
	} else {
		e.subscribers[ch] = true
	}
	return ch, func() { e.drop(ch) }
}

func (e *events) drop(ch chan Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.subscribers[ch] {
		delete(e.subscribers, ch)
		close(ch)
	}
}

func (e *events) publish(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for ch := range e.subscribers {
		select {
		case ch <- ev:
		default: // a gap would be worse: the client lists everything anew
			delete(e.subscribers, ch)
			close(ch)
		}
	}
}

func (e *events) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for ch := range e.subscribers {
		delete(e.subscribers, ch)
		close(ch)
	}
}

func (m *Manager) publish(t runtime.ContainerEventType, id string, s *Sandbox) {
	m.events.publish(Event{Type: t, ContainerID: id, Sandbox: s})
}
