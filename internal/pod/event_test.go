// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"sync"
	"testing"
	"time"
)

// TestEventsInOrder: no event is older than the one before it, whoever publishes at the same time.
func TestEventsInOrder(t *testing.T) {
	const publishers, each = 8, 2000
	e := newEvents()
	ch := make(chan Event, publishers*each)
	e.subscribers[ch] = true
	m := &Manager{events: e}
	var all sync.WaitGroup
	for range publishers {
		all.Go(func() {
			for range each {
				m.publish(0, "", nil)
			}
		})
	}
	all.Wait()
	e.close()
	count, last := 0, time.Time{}
	for ev := range ch {
		if ev.At.Before(last) {
			t.Fatalf("event %d was at %v, the one before at %v", count, ev.At, last)
		}
		count, last = count+1, ev.At
	}
	if count != publishers*each {
		t.Errorf("%d events came, want %d", count, publishers*each)
	}
}
