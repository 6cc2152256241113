// SPDX-License-Identifier: Apache-2.0

package exits

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// retryDelay is the pause before a process that waitid did not give yet is asked for again.
const retryDelay = 10 * time.Millisecond

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
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // asks os.NewFile for the runtime's poller
		unix.Close(fd)
		return nil, fmt.Errorf("set epoll descriptor non-blocking: %w", err)
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
	if err := p.arm(unix.EPOLL_CTL_ADD, w); err != nil {
		delete(p.watches, w.token)
		return err
	}
	return nil
}

// arm asks for one event of w: another comes only after arming it again.
func (p *poller) arm(op int, w *watch) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT}
	event.Fd, event.Pad = int32(w.token), int32(w.token>>32) // epoll_data is 64 bits
	return p.control(op, w, &event)
}

func (p *poller) control(op int, w *watch, event *unix.EpollEvent) error {
	var errCtl error
	err := p.conn.Control(func(epfd uintptr) {
		errCtl = unix.EpollCtl(int(epfd), op, int(w.pidfd.Fd()), event)
	})
	if err = errors.Join(err, errCtl); err != nil {
		return fmt.Errorf("epoll_ctl for pid %d: %w", w.id.Pid, err)
	}
	return nil
}

// run calls ended for each watch whose process ended, until close. ended returns false to
// be asked again a little later.
func (p *poller) run(ended func(*watch) bool) {
	defer close(p.done)
	var again []*watch
	for {
		ready, err := p.wait(len(again) > 0)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			ready, again = again, nil
		} else if err != nil {
			return // closed
		}
		for _, w := range ready {
			if !ended(w) {
				again = append(again, w)
			}
		}
	}
}

// wait returns the watches that have an event. With retry it fails with
// os.ErrDeadlineExceeded after retryDelay without one; after close with os.ErrClosed.
func (p *poller) wait(retry bool) ([]*watch, error) {
	var deadline time.Time
	if retry {
		deadline = time.Now().Add(retryDelay)
	}
	if err := p.epoll.SetReadDeadline(deadline); err != nil {
		return nil, err
	}
	var events [64]unix.EpollEvent
	var n int
	err := p.conn.Read(func(epfd uintptr) bool {
		n, _ = unix.EpollWait(int(epfd), events[:], 0)
		return n > 0
	})
	if err != nil {
		return nil, err
	}
	return p.byToken(events[:n]), nil
}

func (p *poller) byToken(events []unix.EpollEvent) []*watch {
	p.mu.Lock()
	defer p.mu.Unlock()
	ready := make([]*watch, 0, len(events))
	for _, event := range events {
		token := uint64(uint32(event.Fd)) | uint64(uint32(event.Pad))<<32
		if w := p.watches[token]; w != nil {
			ready = append(ready, w)
		}
	}
	return ready
}

// remove ends the wait for w and closes its pidfd. It reports false if close did so before.
func (p *poller) remove(w *watch) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watches[w.token] == nil {
		return false
	}
	delete(p.watches, w.token)
	// Closing is not enough: epoll keeps a description of which a duplicate is open, as
	// there is in the fd store.
	_ = p.control(unix.EPOLL_CTL_DEL, w, nil)
	w.pidfd.Close()
	return true
}

// len is the number of processes waited for.
func (p *poller) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.watches)
}

// close wakes run, waits for it and closes the pidfds still waited for.
func (p *poller) close() {
	p.mu.Lock()
	left := p.watches
	p.watches = nil
	for _, w := range left {
		_ = p.control(unix.EPOLL_CTL_DEL, w, nil)
		w.pidfd.Close()
	}
	p.mu.Unlock()
	p.epoll.Close()
	<-p.done
}
