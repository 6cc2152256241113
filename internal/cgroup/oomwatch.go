// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// OOMWatcher calls a function when the kernel kills a process of a container for lack of
// memory. One goroutine, without a thread of its own, serves all containers.
//
// The kernel's notification is only a hint: on v1 it comes before the kill, also for an
// ancestor's limit, and once more when the cgroup is removed; on v2 also for reclaim.
// What counts is the counter OOMKills reads.
type OOMWatcher struct {
	host   *Host
	source oomSource
	done   chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex // guards what follows; never held while a callback runs
	watches map[*Cgroup]*oomWatch
	byKey   map[int32]*oomWatch
	rechecks
}

type oomWatch struct {
	cgroup *Cgroup
	key    int32 // in the source
	fd     int   // v1: the eventfd; -1 otherwise
	notify func()

	// mu guards what follows. It is held while notify runs, so that Remove does not return before a report that is under way.
	mu    sync.Mutex
	seen  uint64 // kills already notified
	stuck bool   // notified that processes wait for memory
	over  bool   // removed: nothing more is notified
}

// oomSource delivers the keys of watches whose cgroup had an event.
type oomSource interface {
	add(c *Cgroup, key int32) (watchKey int32, fd int, err error)
	remove(w *oomWatch)
	// wait blocks until there are keys, until the deadline (os.ErrDeadlineExceeded)
	// or until close (os.ErrClosed). A zero deadline is none.
	wait(deadline time.Time) ([]int32, error)
	close() error
}

// NewOOMWatcher starts the goroutine. Close ends it.
func (h *Host) NewOOMWatcher() (*OOMWatcher, error) {
	w := &OOMWatcher{
		host:    h,
		done:    make(chan struct{}),
		watches: map[*Cgroup]*oomWatch{},
		byKey:   map[int32]*oomWatch{},
	}
	var err error
	if h.mode == Unified {
		w.source, err = newInotifySource()
	} else {
		w.source, err = newEventfdSource()
	}
	if err != nil {
		return nil, fmt.Errorf("cgroup: watch for out-of-memory events: %w", err)
	}
	go w.run()
	return w, nil
}

// Add has notify called after each OOM kill in c, until Remove. Kills that happened
// before are not reported. notify runs on the watcher's goroutine, or on Remove's
// caller; it must not block nor call Remove. Add after the cgroup's creation and before
// its first program runs. Where memory is not controlled, nothing is ever reported.
func (w *OOMWatcher) Add(c *Cgroup, notify func()) error {
	if h, _ := w.host.oomFile(); h == nil {
		return nil
	}
	state, err := c.oomState()
	if err != nil {
		return fmt.Errorf("cgroup: watch /%s for out-of-memory events: %w", c.path, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watches[c] != nil {
		return fmt.Errorf("cgroup: /%s is already watched for out-of-memory events", c.path)
	}
	key, fd, err := w.source.add(c, w.freeKey())
	if err != nil {
		return fmt.Errorf("cgroup: watch /%s for out-of-memory events: %w", c.path, err)
	}
	watch := &oomWatch{cgroup: c, key: key, fd: fd, notify: notify, seen: state.kills}
	w.watches[c], w.byKey[key] = watch, watch
	return nil
}

// Remove ends the watch, after reporting a kill that the goroutine has not seen yet: so call it
// when the container's processes are gone and its cgroup is not. When it returns, so have all calls
// of notify; hold nothing that notify takes. It does nothing for a cgroup that is not watched.
func (w *OOMWatcher) Remove(c *Cgroup) {
	w.mu.Lock()
	watch := w.watches[c]
	if watch != nil {
		delete(w.watches, c)
		delete(w.byKey, watch.key)
		w.forget(watch)
		w.source.remove(watch)
	}
	w.mu.Unlock()
	if watch != nil {
		watch.end()
	}
}

// Close ends all watches without reporting anything more and waits for the goroutine. It may be called
// twice, and not from a callback.
func (w *OOMWatcher) Close() error {
	err := w.source.close()
	<-w.done
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, watch := range w.watches {
		w.source.remove(watch)
	}
	clear(w.watches)
	clear(w.byKey)
	return err
}

// freeKey chooses a number no watch has. Held: w.mu.
func (w *OOMWatcher) freeKey() int32 {
	for {
		w.nextKey = (w.nextKey + 1) & 0x7fffffff
		if w.byKey[w.nextKey] == nil {
			return w.nextKey
		}
	}
}

func (w *OOMWatcher) run() {
	defer close(w.done)
	for {
		keys, err := w.source.wait(w.nextCheck())
		switch {
		case err == nil:
			w.events(keys)
		case errors.Is(err, os.ErrDeadlineExceeded):
		default:
			return // closed
		}
		w.checkDue(time.Now())
	}
}

func (w *OOMWatcher) events(keys []int32) {
	for _, key := range keys {
		w.mu.Lock()
		watch := w.byKey[key]
		w.mu.Unlock()
		if watch != nil && !watch.check() && w.host.mode != Unified {
			w.later(watch)
		}
	}
}

// check reads the counter and reports news. It returns false when there may be some later.
func (w *oomWatch) check() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over || w.report()
}

// end checks for the last time.
func (w *oomWatch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report()
	w.over = true
}

// report is what check does. Held: w.mu.
func (w *oomWatch) report() bool {
	state, err := w.cgroup.oomState()
	if err != nil {
		return true // removed: there is nothing to wait for
	}
	news := state.kills > w.seen || state.stuck && !w.stuck
	w.seen, w.stuck = max(w.seen, state.kills), state.stuck
	if news {
		w.notify()
	}
	return news
}

// recheckAfter is when the counter is read again after a v1 event, which comes before its kill.
var recheckAfter = []time.Duration{2 * time.Millisecond, 20 * time.Millisecond, 200 * time.Millisecond, 2 * time.Second}

// rechecks are the watches with an event and no kill yet. Guarded by OOMWatcher.mu.
type rechecks struct {
	nextKey int32
	pending []recheck
}

type recheck struct {
	watch *oomWatch
	round int
	due   time.Time
}

func (w *OOMWatcher) later(watch *oomWatch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forget(watch)
	w.pending = append(w.pending, recheck{watch: watch, due: time.Now().Add(recheckAfter[0])})
}

// forget drops watch's recheck. Held: w.mu.
func (w *OOMWatcher) forget(watch *oomWatch) {
	for i, r := range w.pending {
		if r.watch == watch {
			w.pending = append(w.pending[:i], w.pending[i+1:]...)
			return
		}
	}
}

// nextCheck is when the first recheck is due, zero without any.
func (w *OOMWatcher) nextCheck() (first time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.pending {
		if first.IsZero() || r.due.Before(first) {
			first = r.due
		}
	}
	return first
}

func (w *OOMWatcher) checkDue(now time.Time) {
	for _, r := range w.takeDue(now) {
		if r.watch.check() {
			continue
		}
		if r.round++; r.round < len(recheckAfter) {
			r.due = now.Add(recheckAfter[r.round])
			w.putBack(r)
		}
	}
}

func (w *OOMWatcher) takeDue(now time.Time) (due []recheck) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var rest []recheck
	for _, r := range w.pending {
		if r.due.After(now) {
			rest = append(rest, r)
		} else {
			due = append(due, r)
		}
	}
	w.pending = rest
	return due
}

func (w *OOMWatcher) putBack(r recheck) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watches[r.watch.cgroup] == r.watch {
		w.pending = append(w.pending, r)
	}
}
