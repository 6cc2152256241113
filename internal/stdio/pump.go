// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// Pump copies for all terminals of the daemon, in one goroutine that exists as long as there are
// any. One that is held up does not hold up the others. The zero Pump is ready for use; its
// methods may be called concurrently.
type Pump struct {
	mu     sync.Mutex       // guards flows and their descriptors; what is done meanwhile does not block
	flows  map[uint64]*flow // by token
	token  uint64           // the last one given out; a descriptor's number would be reused
	closed bool

	// The epoll descriptor itself sits in the Go runtime's poller: waiting occupies no
	// thread, and closing it ends the goroutine. Nil without flows.
	epoll *os.File
	conn  syscall.RawConn
	work  sync.WaitGroup
}

// maxEvents is how many events one call to the kernel takes.
const maxEvents = 32

// open makes the epoll descriptor and starts the goroutine. mu is held.
func (p *Pump) open() error {
	if p.closed {
		return os.ErrClosed
	}
	if p.epoll != nil {
		return nil
	}
	fd, err := kernel.EpollCreate()
	if err != nil {
		return err
	}
	if err := kernel.SetNonblock(fd, true); err != nil { // asks os.NewFile for the runtime's poller
		unix.Close(fd)
		return err
	}
	epoll := os.NewFile(uintptr(fd), "epoll of terminals")
	conn, err := epoll.SyscallConn()
	if err != nil {
		epoll.Close()
		return err
	}
	p.epoll, p.conn, p.flows = epoll, conn, map[uint64]*flow{}
	p.work.Go(func() { p.run(conn) })
	return nil
}

// copy begins to copy from one file to another, until the end of the first or until stop. Both
// stay the caller's; to may be nil. over is called at the end, but not at stop.
func (p *Pump) copy(from, to *os.File, over func()) (*flow, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, err := newFlow(from, to, over)
	if err != nil {
		return nil, fmt.Errorf("copy a terminal: %w", err)
	}
	if err := p.open(); err != nil {
		f.close()
		return nil, fmt.Errorf("copy a terminal: %w", err)
	}
	p.token++
	f.token = p.token
	p.flows[f.token] = f
	if err := p.arm(f, readable); err != nil {
		p.drop(f)
		return nil, fmt.Errorf("copy a terminal: %w", err)
	}
	return f, nil
}

// stop ends f. When it returns, f's descriptors are closed and over is not being called.
func (p *Pump) stop(f *flow) {
	p.mu.Lock()
	mine := p.flows[f.token] == f
	if mine {
		p.drop(f)
	}
	p.mu.Unlock()
	if mine {
		close(f.ended)
	}
	<-f.ended
}

// drop forgets f and closes its descriptors. mu is held.
func (p *Pump) drop(f *flow) {
	delete(p.flows, f.token)
	// Closing is not enough: epoll keeps a description of which a duplicate is open.
	_ = p.control(func(epoll int) error {
		for _, fd := range []int{f.from, f.to} {
			if fd >= 0 {
				_ = kernel.EpollRemove(epoll, fd) // which may not be in it
			}
		}
		return nil
	})
	f.close()
	if len(p.flows) == 0 {
		p.rest()
	}
}

// rest ends the goroutine, without waiting for it. mu is held.
func (p *Pump) rest() {
	if p.epoll != nil {
		p.epoll.Close()
		p.epoll = nil
	}
}

// control runs call with the epoll descriptor.
func (p *Pump) control(call func(epoll int) error) error {
	var failed error
	err := p.conn.Control(func(epoll uintptr) { failed = call(int(epoll)) })
	return errors.Join(err, failed)
}

// arm waits for what f needs before it can go on. mu is held.
func (p *Pump) arm(f *flow, need need) error {
	return p.control(func(epoll int) error {
		if need == readable {
			err := kernel.EpollReadable(epoll, f.from, f.token)
			if !errors.Is(err, unix.EPERM) { // an ordinary file always is
				return err
			}
		}
		return kernel.EpollWritable(epoll, f.to, f.token)
	})
}

// run serves the flows of one epoll descriptor.
func (p *Pump) run(epoll syscall.RawConn) {
	for {
		tokens, err := wait(epoll)
		if err != nil {
			return // closed
		}
		for _, token := range tokens {
			p.turn(token)
		}
	}
}

func wait(epoll syscall.RawConn) (tokens []uint64, err error) {
	var failed error
	err = epoll.Read(func(fd uintptr) bool {
		tokens, failed = kernel.EpollPoll(int(fd), tokens[:0], maxEvents)
		return len(tokens) > 0 || failed != nil
	})
	return tokens, errors.Join(err, failed)
}

// turn copies one portion of a flow.
func (p *Pump) turn(token uint64) {
	p.mu.Lock()
	f := p.flows[token]
	ended := false
	if f != nil {
		need := f.move()
		ended = need == nothing || p.arm(f, need) != nil
	}
	if ended {
		p.drop(f)
	}
	p.mu.Unlock()
	if ended {
		f.over()
		close(f.ended)
	}
}

// Close ends the goroutine and the copying: bytes that were not copied stay where they are. May
// be called again.
func (p *Pump) Close() error {
	p.mu.Lock()
	p.closed = true
	p.rest()
	flows := p.flows
	p.flows = nil
	for _, f := range flows {
		f.close()
	}
	p.mu.Unlock()
	p.work.Wait()
	for _, f := range flows {
		close(f.ended)
	}
	return nil
}
