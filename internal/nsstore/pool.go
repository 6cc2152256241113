// SPDX-License-Identifier: Apache-2.0

package nsstore

import (
	"os"
	"sync"
	"time"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

const (
	// maxPool bounds a pool, whatever the configuration says: a namespace takes about 0.3 MB of the kernel's memory.
	maxPool = 256
	// poolPace is how often one namespace is made for the pool: a hundred a second is more than a node starts pods, and takes
	// no more than a twentieth of a processor from them.
	poolPace = 10 * time.Millisecond
)

// pool has network namespaces ready, with lo up, as nothing but descriptors: they end with the daemon, however it ends.
// It is filled from the first pod on, so that a node without pods pays nothing.
//
// A new namespace begins with some of the sysctls of the first one. One of the pool is given away only as long as those are as they were when
// it was made.
type pool struct {
	size int
	want chan struct{} // one is missing
	end  chan struct{}
	done sync.WaitGroup

	mu        sync.Mutex // guards what follows
	inherited *inherited
	stamp     string // of what all in ready have inherited
	ready     []*os.File
}

// Pool has Make take network namespaces that were made ahead, of which there are up to size. It is called once, before
// Make; 0 is none. They are made by a goroutine that Close ends.
func (s *Store) Pool(size int) {
	if size <= 0 {
		return
	}
	p := &pool{size: min(size, maxPool), want: make(chan struct{}, 1), end: make(chan struct{})}
	s.pool = p
	p.done.Go(p.run)
}

// take returns a namespace, which is then the caller's; nil when there is none. p may be nil.
func (p *pool) take() *os.File {
	if p == nil {
		return nil
	}
	defer p.refill()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.ready) == 0 || p.inherited.read() != p.stamp {
		p.drop()
		return nil
	}
	last := len(p.ready) - 1
	f := p.ready[last]
	p.ready = p.ready[:last]
	return f
}

func (p *pool) refill() {
	select {
	case p.want <- struct{}{}:
	default:
	}
}

// drop closes what is ready.
func (p *pool) drop() {
	for _, f := range p.ready {
		f.Close()
	}
	p.ready = nil
}

// run fills the pool until it is ended.
func (p *pool) run() {
	pace := time.NewTicker(poolPace)
	defer pace.Stop()
	for {
		pace.Stop()
		select {
		case <-p.want:
		case <-p.end:
			return
		}
		pace.Reset(poolPace)
		for missing := true; missing; {
			select {
			case <-pace.C:
				missing = p.fill()
			case <-p.end:
				return
			}
		}
	}
}

// fill makes one namespace, and reports whether more are missing.
func (p *pool) fill() bool {
	before, missing := p.before()
	if !missing {
		return false
	}
	f, err := newNetwork()
	if err != nil {
		log.L.WithError(err).Warn("make a network namespace ahead; pods make theirs")
		return false // the next pod is the next try
	}
	return p.add(f, before)
}

// before is what a namespace made now inherits, and whether one is missing.
func (p *pool) before() (stamp string, missing bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inherited == nil {
		var err error
		if p.inherited, err = openInherited(); err != nil {
			log.L.WithError(err).Warn("network namespaces are not made ahead")
			p.size = 0
		}
	}
	if len(p.ready) >= p.size {
		return "", false
	}
	stamp = p.inherited.read()
	return stamp, stamp != ""
}

// add takes f over. It is of no use if what it inherited changed meanwhile.
func (p *pool) add(f *os.File, before string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inherited.read() != before {
		f.Close()
		return true
	}
	if before != p.stamp {
		p.drop()
		p.stamp = before
	}
	p.ready = append(p.ready, f)
	return len(p.ready) < p.size
}

// close ends the goroutine and what is ready. p may be nil.
func (p *pool) close() {
	if p == nil {
		return
	}
	close(p.end)
	p.done.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop()
	p.inherited.close()
}

// newNetwork makes a network namespace as furnish does.
func newNetwork() (f *os.File, err error) {
	kernel.OnThread(func() {
		if err = kernel.Unshare(unix.CLONE_NEWNET, "network namespace"); err != nil {
			return
		}
		if err = kernel.SetLinkUp("lo"); err == nil {
			f, err = os.Open("/proc/thread-self/ns/net")
		}
	})
	return f, err
}
