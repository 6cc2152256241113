// SPDX-License-Identifier: Apache-2.0

package exits

import "sync"

// maxCallbacks is how many callbacks run at the same time.
const maxCallbacks = 16

// dispatcher runs the callbacks beside the goroutine that polls, so that one that waits
// for a lock does not hold up the others. Its goroutines exist only while there is work.
type dispatcher struct {
	mu      sync.Mutex
	queue   []func()
	running int
	idle    sync.WaitGroup
}

// run queues fn. It never blocks.
func (d *dispatcher) run(fn func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = append(d.queue, fn)
	if d.running < maxCallbacks {
		d.running++
		d.idle.Add(1)
		go d.work()
	}
}

func (d *dispatcher) work() {
	defer d.idle.Done()
	for fn := d.next(); fn != nil; fn = d.next() {
		fn()
	}
}

// next takes a callback off the queue; nil means that the calling worker ends.
func (d *dispatcher) next() func() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.queue) == 0 {
		d.queue = nil
		d.running--
		return nil
	}
	fn := d.queue[0]
	d.queue[0] = nil
	d.queue = d.queue[1:]
	return fn
}

// wait returns when all that was queued has run.
func (d *dispatcher) wait() { d.idle.Wait() }
