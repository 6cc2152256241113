// SPDX-License-Identifier: Apache-2.0

package netif

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
)

const (
	// patience is how long a link may outlive its pod before it is deleted.
	patience = time.Second
	// maxLooks is how often the end of a namespace that is ending is waited for.
	maxLooks = 30
)

// Reaper deletes links of the host that outlive their pod. The kernel deletes a veth with its pod's network
// namespace; one that somebody else holds keeps it.
type Reaper struct {
	host *Namespace
	mu   sync.Mutex
	wait []doomed // by time
	wake chan struct{}
	stop chan struct{}
	done chan struct{}
	once sync.Once
}

// doomed is a link that should not be there at a time.
type doomed struct {
	index int
	name  string
	at    time.Time
	looks int
}

// NewReaper starts a Reaper. host stays the caller's; Close comes first.
func NewReaper(host *Namespace) *Reaper {
	r := &Reaper{host: host, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go r.run()
	return r
}

// Later deletes the link of this index and name if it is still there after about a second.
func (r *Reaper) Later(index int, name string) {
	r.add(doomed{index: index, name: name, at: time.Now().Add(patience)})
}

// Waits tells whether Later was called for the link, and it has not been looked at since.
func (r *Reaper) Waits(index int, name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.wait, func(d doomed) bool { return d.index == index && d.name == name })
}

func (r *Reaper) add(d doomed) {
	r.mu.Lock()
	r.wait = append(r.wait, d)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Close deletes what still waits, and ends the Reaper. It is safe twice.
func (r *Reaper) Close() error {
	r.once.Do(func() { close(r.stop) })
	<-r.done
	return nil
}

func (r *Reaper) run() {
	defer close(r.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		due, next := r.due(time.Now())
		for _, d := range due {
			r.reap(d)
		}
		if next > 0 {
			timer.Reset(next)
		}
		select {
		case <-r.stop:
			r.last()
			return
		case <-r.wake:
		case <-timer.C:
		}
	}
}

// due takes what is to be looked at now, and says when something is next; 0 for never.
func (r *Reaper) due(now time.Time) (due []doomed, next time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for n < len(r.wait) && !r.wait[n].at.After(now) {
		n++
	}
	due = append(due, r.wait[:n]...)
	r.wait = append(r.wait[:0], r.wait[n:]...)
	if len(r.wait) > 0 {
		next = max(r.wait[0].at.Sub(now), time.Millisecond)
	}
	return due, next
}

// last deletes what nobody will look at any more.
func (r *Reaper) last() {
	r.mu.Lock()
	all := r.wait
	r.wait = nil
	r.mu.Unlock()
	for _, d := range all {
		d.looks = maxLooks
		r.reap(d)
	}
}

// reap deletes the link, unless the kernel is about to.
func (r *Reaper) reap(d doomed) {
	link, err := r.host.LinkByIndex(d.index)
	if err != nil || link.Attrs().Name != d.name {
		return
	}
	if Ending(link) && d.looks < maxLooks {
		d.looks++
		d.at = time.Now().Add(patience)
		r.add(d)
		return
	}
	// An error is a link that went in between.
	_ = r.host.LinkDel(link)
}

// Ending tells whether the namespace of the veth's other end is being taken down, and the veth with it: the namespace then has no id any
// more, which the kernel calls -1 and the attribute, read without its sign, the largest number. Without the attribute both ends are in one
// namespace.
func Ending(link netlink.Link) bool {
	_, veth := link.(*netlink.Veth)
	return veth && link.Attrs().NetNsID == math.MaxUint32
}
