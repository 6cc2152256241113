// SPDX-License-Identifier: Apache-2.0

package podlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/fault"
	"github.com/sardine-run/sardine/internal/kernel"
)

// container is the output of one container: two FIFOs and one file. It is small, and nothing
// of it runs, while nothing is printed. It is worked on by one worker at a time,
// so that a file system that hangs holds up one of them.
//
// Locks are taken in the order io, mu, attaching.
type container struct {
	hub    *Hub
	id     string
	serial uint64

	// mu is held for short. Descriptors of streams change with io and mu held.
	mu      sync.Mutex
	ready   [2]readiness
	running bool          // a worker is at it
	closed  bool          // changes with io held
	drained chan struct{} // nil until somebody waits

	// io is held while bytes move.
	io      sync.Mutex
	streams [2]stream
	file    file
	loss    loss
	stored  bool // the store keeps the FIFOs

	attaching sync.Mutex
	attached  []*attachment
	final     bool // nobody may attach any more
}

// readiness is what epoll said of a stream that nobody has worked on since.
type readiness struct{ readable, hungUp bool }

// loss is an episode in which the log file could not be written.
type loss struct {
	bytes uint64    // 0 if there is none
	said  time.Time // when the last one was logged
}

// quietTime is how often a container's losses are logged at most.
const quietTime = time.Minute

func (c *container) token(i int) uint64 { return c.serial<<1 | uint64(i) }

// open opens the FIFOs and the log file, and finishes what an earlier daemon has begun.
func (c *container) open(cfg Config) error {
	c.streams = [2]stream{{fd: -1, place: -1, name: "stdout"}, {fd: -1, place: -1, name: "stderr"}}
	if err := c.openStreams(cfg); err != nil {
		return err
	}
	now := time.Now()
	if c.file.path != "" {
		if _, err := c.file.ready(c.hub.limit, now); err != nil {
			c.lose(0, now, err)
		}
	}
	if c.hub.journal == nil {
		return nil
	}
	for i := range c.streams {
		if err := c.recover(&c.streams[i]); err != nil {
			return err
		}
	}
	return errors.Join(c.shorten(&c.streams[0], now), c.shorten(&c.streams[1], now))
}

// openStreams opens the FIFOs. What an earlier daemon has left in the store is the same FIFO, with what is in it.
func (c *container) openStreams(cfg Config) error {
	kept := readers{}
	if cfg.Started {
		kept = c.hub.takeReaders(c.id)
	}
	defer kept.close()
	missing := false
	for i, path := range []string{cfg.Stdout, cfg.Stderr} {
		if path == "" {
			continue
		}
		fd := kept.take(path)
		missing = missing || fd < 0
		if err := c.streams[i].open(path, fd, cfg.Started); err != nil {
			return err
		}
	}
	if c.stored = true; missing { // they are new, or the store has lost one
		c.keep()
	}
	return fault.Point(fault.LogKept)
}

// wake is called by a worker when stream i has something. It does the work unless another
// worker is at this container, who will do it then.
func (c *container) wake(b *bench, i int, hungUp bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ready[i] = readiness{readable: true, hungUp: hungUp}
	if c.running {
		return
	}
	c.running = true
	var again [2]bool
	for c.ready != [2]readiness{} {
		ready := c.ready
		c.ready = [2]readiness{}
		c.mu.Unlock()
		for i, r := range ready {
			if r.readable {
				again[i] = c.work(b, &c.streams[i], r.hungUp)
			}
		}
		c.mu.Lock()
	}
	c.running = false
	for i := range again {
		if again[i] {
			c.watch(i)
		}
	}
}

// watch has a worker woken when stream i has something, perhaps now. mu is held.
func (c *container) watch(i int) {
	s := &c.streams[i]
	if c.closed || s.fd < 0 {
		return
	}
	if err := kernel.EpollRearm(c.hub.epoll, s.fd, c.token(i)); err != nil {
		c.hub.log.Error("output of a container is not read any more", "id", c.id, "stream", s.name, "error", err)
	}
}

// resume goes on with a stream that was held up for somebody attached.
func (c *container) resume(s *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.streams {
		if s == &c.streams[i] {
			c.watch(i)
		}
	}
}

// work moves what a stream has, for a while, and reports whether to watch it again.
func (c *container) work(b *bench, s *stream, hungUp bool) (again bool) {
	const batches = 16 // 1 MiB, then it is others' turn
	c.io.Lock()
	defer c.io.Unlock()
	for range batches {
		if s.fd < 0 || !c.room(s) {
			return false
		}
		n, err := c.batch(b, s, false)
		if err != nil {
			c.hub.log.Error("read output of container", "id", c.id, "stream", s.name, "error", err)
			c.end(b, s)
			return false
		}
		if n > peekSize/4 {
			continue // there is probably more
		}
		if !hungUp {
			return true // if there is more the stream is readable again at once
		}
		if s.over() {
			c.end(b, s)
			return false
		}
	}
	return true
}

// end closes a stream whose writers have gone. io is held.
func (c *container) end(b *bench, s *stream) {
	c.flush(b, s)
	if c.endStream(s) {
		c.forget()
	}
}

func (c *container) endStream(s *stream) (last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hub.close(s)
	c.endSenders(s)
	if last = c.ended(); last {
		c.tellDrained()
	}
	return last
}

// tellDrained wakes who waits for the end. mu is held.
func (c *container) tellDrained() {
	if c.drained != nil {
		close(c.drained)
		c.drained = nil
	}
}

// ended reports that nothing more will come. mu is held.
func (c *container) ended() bool {
	return c.closed || c.streams[0].fd < 0 && c.streams[1].fd < 0
}

// Drained implements Log.
func (c *container) Drained(ctx context.Context) error {
	c.mu.Lock()
	if c.ended() {
		c.mu.Unlock()
		return nil
	}
	if c.drained == nil {
		c.drained = make(chan struct{})
	}
	drained := c.drained
	c.mu.Unlock()
	select {
	case <-drained:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the end of the output of %s: %w", c.id, context.Cause(ctx))
	}
}

// Reopen implements Log.
func (c *container) Reopen() error {
	if c.file.path == "" {
		return nil
	}
	fd, err := openFile(c.file.path)
	if err != nil {
		return fmt.Errorf("reopen log of %s: %w", c.id, classify(err))
	}
	c.io.Lock()
	defer c.io.Unlock()
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		unix.Close(fd)
		return fmt.Errorf("reopen log of %s: it is closed: %w", c.id, errdefs.ErrFailedPrecondition)
	}
	if err := c.file.replace(fd, c.hub.limit); err != nil {
		return fmt.Errorf("reopen log of %s: %w", c.id, classify(err))
	}
	return nil
}

// classify gives an errno its errdefs class.
func classify(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("%w: %w", err, errdefs.ErrNotFound)
	case errors.Is(err, errdefs.ErrInvalidArgument):
		return err
	}
	return fmt.Errorf("%w: %w", err, errdefs.ErrUnavailable)
}

// Close implements Log.
func (c *container) Close() {
	c.io.Lock()
	defer c.io.Unlock()
	if !c.closed {
		c.close(true, true)
		c.forget()
	}
}

// abandon leaves the container to the next daemon, with all that waits in its FIFOs. Without a journal the starts of
// lines are written.
func (c *container) abandon() {
	c.io.Lock()
	defer c.io.Unlock()
	if !c.closed {
		c.close(c.hub.journal == nil, false)
	}
}

// close ends everything. flush has the starts of lines written, drain what the FIFOs hold. io is held.
func (c *container) close(flush, drain bool) {
	c.hub.remove(c)
	for i := range c.streams {
		c.empty(&c.streams[i], flush, drain)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.tellDrained()
	c.detachAll()
	c.release()
}

// empty moves what a stream has at this moment. io is held.
func (c *container) empty(s *stream, flush, drain bool) {
	if s.fd < 0 {
		return
	}
	waiting, _ := kernel.Waiting(s.fd)
	if !drain {
		waiting = 0
	}
	if waiting == 0 && (len(s.start) == 0 || !flush) {
		return
	}
	b, err := c.hub.benches.get()
	if err != nil {
		c.lose(waiting+len(s.start), time.Now(), err)
		return
	}
	defer c.hub.benches.put(b)
	for moved := 0; moved < waiting; {
		n, err := c.batch(b, s, true)
		if err != nil {
			c.lose(waiting-moved, time.Now(), err)
		}
		if n == 0 {
			break
		}
		moved += n
	}
	c.flush(b, s)
}

// release closes the descriptors. With the container in use, io and mu are held.
func (c *container) release() {
	for i := range c.streams {
		c.hub.close(&c.streams[i])
	}
	c.file.close()
}

// lose counts bytes that did not get into the log file, and says so once.
func (c *container) lose(bytes int, now time.Time, err error) {
	c.hub.lost.Add(uint64(bytes))
	c.loss.bytes += uint64(bytes)
	if errors.Is(err, errPaused) || now.Sub(c.loss.said) < quietTime {
		return
	}
	c.loss.said = now
	c.hub.log.Warn("log of container cannot be written, its output is lost meanwhile", "id", c.id, "path", c.file.path, "error", err)
}

// saved ends an episode of loss.
func (c *container) saved() {
	if c.loss.bytes > 0 {
		c.hub.log.Info("log of container is written again", "id", c.id, "path", c.file.path, "lost_bytes", c.loss.bytes)
		c.loss.bytes = 0
	}
}
