// SPDX-License-Identifier: Apache-2.0

package podlog

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/fdstore"
	"github.com/sardine-run/sardine/internal/kernel"
)

// Options of a Hub. The zero value is usable.
type Options struct {
	// MaxLine is containerd's max_container_log_line_size: longer lines are cut. 0 and less
	// is no limit, which is one of 1 MiB; so is a larger one.
	MaxLine int
	// Workers is the number of goroutines, and OS threads, that move output. 0 is 2. A file
	// system that hangs occupies one of them per container that writes to it.
	Workers int
	// Journal is the path of a file on tmpfs, made if missing, by which a daemon that follows
	// one that was killed neither loses nor repeats a line. One daemon at a time may use
	// it. "" is none: then the start of a line may be lost and the last lines are repeated.
	Journal string
	// Store keeps the reading ends of the FIFOs for the next daemon. Nil: what waits in them is lost with
	// a container that ends while no daemon runs.
	Store *fdstore.Store
	// Patience is how long a container is held up for somebody attached who does not take
	// its output. 0 is 10 s, less is not at all.
	Patience time.Duration
	// Log gets what goes wrong. Nil: it is dropped.
	Log *slog.Logger
}

// Default values of Options.
const (
	DefaultMaxLine  = 16 << 10 // containerd's
	defaultWorkers  = 2
	defaultPatience = 10 * time.Second // more than a busy node keeps a client from running
	maxLimit        = 1 << 20
)

// Hub serves the logs of the node: see the package. Its methods may be called concurrently.
type Hub struct {
	log      *slog.Logger
	limit    int // bytes of a line
	patience time.Duration
	store    *fdstore.Store

	epoll, stop, null int
	benches           benches
	journal           *journal
	lost              atomic.Uint64

	workers sync.WaitGroup
	senders sync.WaitGroup // to who is attached

	mu         sync.RWMutex
	closed     bool
	serial     uint64
	containers map[uint64]*container
}

var _ Logger = (*Hub)(nil)

// stopToken wakes the workers for the last time.
const stopToken = 0

// New starts the workers; the caller closes the Hub.
func New(opts Options) (*Hub, error) {
	h := &Hub{
		log: opts.Log, limit: opts.MaxLine, patience: opts.Patience, store: opts.Store,
		epoll: -1, stop: -1, null: -1,
		containers: map[uint64]*container{},
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.limit <= 0 || h.limit > maxLimit {
		h.limit = maxLimit
	}
	if h.patience == 0 {
		h.patience = defaultPatience
	}
	workers := opts.Workers
	if workers <= 0 {
		workers = defaultWorkers
	}
	if err := h.start(opts.Journal, workers); err != nil {
		h.release()
		return nil, fmt.Errorf("logs of containers: %w", err)
	}
	return h, nil
}

func (h *Hub) start(journal string, workers int) (err error) {
	if journal != "" {
		if h.journal, err = openJournal(journal, h.limit); err != nil {
			return err
		}
	}
	if h.null, err = kernel.OpenFD("/dev/null", unix.O_WRONLY, 0); err != nil {
		return err
	}
	if h.epoll, err = kernel.EpollCreate(); err != nil {
		return err
	}
	if h.stop, err = kernel.EventFD(); err != nil {
		return err
	}
	if err = kernel.EpollKeep(h.epoll, h.stop, stopToken); err != nil {
		return err
	}
	h.benches = benches{null: h.null, limit: h.limit, journal: h.journal}
	var ready []*bench
	for range workers {
		b, err := h.benches.get()
		if err != nil {
			for _, b := range ready {
				h.benches.put(b)
			}
			return err
		}
		ready = append(ready, b)
	}
	for _, b := range ready {
		h.workers.Go(func() { h.work(b) })
	}
	return nil
}

// work serves what the kernel says is readable, until Close.
func (h *Hub) work(b *bench) {
	defer h.benches.put(b)
	for {
		token, hungUp, err := kernel.EpollWait(h.epoll)
		if err != nil {
			h.log.Error("logs of containers are not read any more", "error", err)
			return
		}
		if token == stopToken {
			return
		}
		h.mu.RLock()
		c := h.containers[token>>1]
		h.mu.RUnlock()
		if c != nil {
			c.wake(b, int(token&1), hungUp)
		}
	}
}

// Open implements Logger.
func (h *Hub) Open(cfg Config) (Log, error) {
	c := &container{hub: h, id: cfg.ID, file: file{path: cfg.Path, fd: -1}}
	err := c.open(cfg)
	if err == nil {
		err = h.add(c)
	}
	if err != nil {
		c.release()
		if !cfg.Started { // nothing was printed yet
			c.forget()
		}
		return nil, fmt.Errorf("read output of %s: %w", cfg.ID, err)
	}
	return c, nil
}

// add makes c known to the workers.
func (h *Hub) add(c *container) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return fmt.Errorf("the daemon is closing: %w", errdefs.ErrUnavailable)
	}
	h.serial++
	c.serial = h.serial
	for i := range c.streams {
		if s := &c.streams[i]; s.fd >= 0 {
			if err := kernel.EpollAdd(h.epoll, s.fd, c.token(i)); err != nil {
				return err
			}
		}
	}
	h.containers[c.serial] = c
	return nil
}

func (h *Hub) remove(c *container) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.containers, c.serial)
}

// Lost returns how many bytes of output could not be written to a log file, for whatever
// reason.
func (h *Hub) Lost() uint64 { return h.lost.Load() }

// Close ends the goroutines and waits for them. What the FIFOs hold stays there, and they in the store, for
// the next daemon; so does the start of a line, or without a journal it goes to the log.
// Logs that are still open are of no use afterwards. Those attached
// are told by their done channels, and Writes in progress waited for, but not for long.
func (h *Hub) Close() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	left := make([]*container, 0, len(h.containers))
	for _, c := range h.containers {
		left = append(left, c)
	}
	h.mu.Unlock()

	err := kernel.Signal(h.stop)
	if err == nil {
		h.workers.Wait()
	}
	for _, c := range left {
		c.abandon()
	}
	h.awaitSenders()
	h.release()
	return err
}

// awaitSenders waits until who is attached has taken what was printed. One that hangs in a
// Write that is not ours is left to its owner.
func (h *Hub) awaitSenders() {
	const patience = 5 * time.Second
	idle := make(chan struct{})
	go func() { h.senders.Wait(); close(idle) }()
	select {
	case <-idle:
	case <-time.After(patience):
		h.log.Warn("somebody attached does not end")
	}
}

// release closes the descriptors.
func (h *Hub) release() {
	h.journal.close()
	for _, fd := range []int{h.epoll, h.stop, h.null} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}
