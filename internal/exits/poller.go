// SPDX-License-Identifier: Apache-2.0

package exits

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// maxEvents is how many events one call to the kernel takes.
const maxEvents = 64

// poller waits for many pidfds in one goroutine. The epoll descriptor itself sits in the
// Go runtime's poller, so that waiting occupies no thread and Close wakes the wait.
type poller struct {
	epoll *os.File
	conn  syscall.RawConn
	done  chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	watches map[uint64]*watch // by token; nil once closed
	token   uint64            // last one given out; a descriptor's number would be reused
}

// watch is one process waited for. Its pidfd belongs to it.
type watch struct {
	id    Identity
	pidfd *os.File
	fn    func(Status)
	token uint64
}

func newPoller() (*poller, error) {
	fd, err := kernel.EpollCreate()
	if err != nil {
		return nil, err
	}
	if err := kernel.SetNonblock(fd, true); err != nil { // asks os.NewFile for the runtime's poller
		unix.Close(fd)
		return nil, err
	}
	epoll := os.NewFile(uintptr(fd), "epoll of pidfds")
	conn, err := epoll.SyscallConn()
	if err != nil {
		epoll.Close()
		return nil, fmt.Errorf("epoll of pidfds: %w", err)
	}
	return &poller{
		epoll:   epoll,
		conn:    conn,
		done:    make(chan struct{}),
		watches: make(map[uint64]*watch),
	}, nil
}

// add begins to wait for w. On error w still owns its pidfd.
func (p *poller) add(w *watch) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watches == nil {
		return os.ErrClosed
	}
	p.token++
	w.token = p.token
	p.watches[w.token] = w
	err := p.control(func(epoll int) error {
		return kernel.EpollEdge(epoll, int(w.pidfd.Fd()), w.token)
	})
	if err != nil {
		delete(p.watches, w.token)
	}
	return err
}

// control runs call with the epoll descriptor.
func (p *poller) control(call func(epoll int) error) error {
	var errCall error
	err := p.conn.Control(func(epoll uintptr) { errCall = call(int(epoll)) })
	return errors.Join(err, errCall)
}

// run calls ended for each watch whose process ended, until close. ended returns false to
// be asked again when its pidfd has another event.
func (p *poller) run(ended func(*watch) bool) {
	defer close(p.done)
	for {
		ready, err := p.wait()
		if err != nil {
			return // closed
		}
		for _, w := range ready {
			ended(w)
		}
	}
}

// wait returns the watches that have an event; after close it fails with os.ErrClosed.
func (p *poller) wait() ([]*watch, error) {
	var tokens []uint64
	var errPoll error
	err := p.conn.Read(func(epoll uintptr) bool {
		tokens, errPoll = kernel.EpollPoll(int(epoll), nil, maxEvents)
		return len(tokens) > 0 || errPoll != nil
	})
	if err = errors.Join(err, errPoll); err != nil {
		return nil, err
	}
	return p.byToken(tokens), nil
}

func (p *poller) byToken(tokens []uint64) []*watch {
	p.mu.Lock()
	defer p.mu.Unlock()
	ready := make([]*watch, 0, len(tokens))
	for _, token := range tokens {
		if w := p.watches[token]; w != nil {
			ready = append(ready, w)
		}
	}
	return ready
}

// remove ends the wait for w and closes its pidfd. Once close has begun it leaves both to it.
func (p *poller) remove(w *watch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watches[w.token] == nil {
		return
	}
	delete(p.watches, w.token)
	// Closing is not enough: epoll keeps a description of which a duplicate is open, as
	// there is in the fd store.
	_ = p.control(func(epoll int) error { return kernel.EpollRemove(epoll, int(w.pidfd.Fd())) })
	w.pidfd.Close()
}

// len is the number of processes waited for.
func (p *poller) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.watches)
}

// close wakes run, waits for it and closes the pidfds still waited for: not before, as run
// may be looking at one of them.
func (p *poller) close() {
	p.mu.Lock()
	left := p.watches
	p.watches = nil
	p.mu.Unlock()
	p.epoll.Close()
	<-p.done
	for _, w := range left {
		w.pidfd.Close()
	}
}
