// SPDX-License-Identifier: Apache-2.0

package network

import (
	"sync"
	"time"
)

// Metrics counts what was done since the start. containerd calls the first two and Status
// set_up_pod, tear_down_pod and network_status.
type Metrics struct {
	Setup, Teardown, Check, Status, GC Operation

	Retries uint64 // DELs tried again
	Waiting int    // sandboxes that still have to be detached
}

// Operation counts calls of one kind.
type Operation struct {
	Count, Errors uint64
	Time          time.Duration // all together
}

type counter struct {
	mu      sync.Mutex
	metrics Metrics
}

func (c *counter) count(o *Operation, began time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o.Count++
	o.Time += time.Since(began)
	if err != nil {
		o.Errors++
	}
}

func (c *counter) retried() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.metrics.Retries++
}

// Metrics returns the counters.
func (n *Networks) Metrics() Metrics {
	n.counter.mu.Lock()
	defer n.counter.mu.Unlock()
	m := n.counter.metrics
	m.Waiting = n.retries.len()
	return m
}
