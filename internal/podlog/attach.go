// SPDX-License-Identifier: Apache-2.0

package podlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/containerd/errdefs"
)

// attachBuffer is how much memory a stream that waits for somebody attached may take.
const attachBuffer = 1 << 20

// cost is the memory that text takes in a queue, which may be much more than it is long.
func cost(text []byte) int { return len(text) + 64 }

// errSlow is why a writer is let go.
var errSlow = fmt.Errorf("the output was not taken in time: %w", errdefs.ErrResourceExhausted)

// attachment is somebody who gets a copy of the output.
type attachment struct {
	c       *container
	senders [2]*sender // nil for a stream that is not asked for
	done    chan struct{}

	mu   sync.Mutex
	left int // senders at work
	over bool
}

// sender writes one stream to one writer, in a goroutine of its own.
type sender struct {
	a *attachment
	s *stream
	w io.Writer

	mu    sync.Mutex
	wake  sync.Cond
	queue [][]byte
	size  int         // cost of queue and of what is being written
	last  bool        // nothing follows queue
	gone  bool        // queue is of no use any more
	held  *time.Timer // not nil while the stream waits for this sender
	holds int         // how often it did
}

// Attach implements Log.
func (c *container) Attach(stdout, stderr io.Writer) (done <-chan struct{}, stop func()) {
	a := &attachment{c: c, done: make(chan struct{})}
	if stdout == nil && stderr == nil { // waits for the end
		stdout, stderr = io.Discard, io.Discard
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attaching.Lock()
	defer c.attaching.Unlock()
	for i, w := range []io.Writer{stdout, stderr} {
		if w == nil || c.final || c.streams[i].fd < 0 {
			continue
		}
		s := &sender{a: a, s: &c.streams[i], w: w}
		s.wake.L = &s.mu
		a.senders[i] = s
		a.left++
	}
	if a.left == 0 {
		close(a.done)
		return a.done, func() {}
	}
	c.attached = append(c.attached, a)
	for _, s := range a.senders {
		if s != nil {
			c.hub.senders.Go(s.run)
		}
	}
	return a.done, func() { a.end(nil) }
}

// send gives text, of which a copy is made, to who is attached to the stream.
func (c *container) send(s *stream, text []byte) {
	c.attaching.Lock()
	defer c.attaching.Unlock()
	if len(c.attached) == 0 || len(text) == 0 {
		return
	}
	text = bytes.Clone(text)
	for _, sender := range c.sendersOf(s) {
		sender.put(text)
	}
}

// room reports whether those attached to the stream can take a batch. If not, the stream is
// watched again when they can.
func (c *container) room(s *stream) bool {
	c.attaching.Lock()
	defer c.attaching.Unlock()
	for _, sender := range c.sendersOf(s) {
		if !sender.room(c.hub.patience) {
			return false
		}
	}
	return true
}

// endSenders tells those attached to the stream that this was all.
func (c *container) endSenders(s *stream) {
	c.attaching.Lock()
	defer c.attaching.Unlock()
	for _, sender := range c.sendersOf(s) {
		sender.finish()
	}
}

// detachAll tells everybody that this was all.
func (c *container) detachAll() {
	for i := range c.streams {
		c.endSenders(&c.streams[i])
	}
	c.attaching.Lock()
	defer c.attaching.Unlock()
	c.final = true
}

func (c *container) sendersOf(s *stream) []*sender {
	var senders []*sender
	for _, a := range c.attached {
		for _, sender := range a.senders {
			if sender != nil && sender.s == s {
				senders = append(senders, sender)
			}
		}
	}
	return senders
}

// end lets go of the attachment, now. reason is nil if that was asked for or all is written.
func (a *attachment) end(reason error) {
	a.mu.Lock()
	over := a.over
	a.over = true
	a.mu.Unlock()
	if over {
		return
	}
	a.c.detach(a)
	for _, s := range a.senders {
		if s == nil {
			continue
		}
		if s.abandon() {
			a.c.resume(s.s)
		}
		if w, ok := s.w.(interface{ CloseWithError(error) error }); ok && reason != nil {
			_ = w.CloseWithError(reason)
		}
	}
	if errors.Is(reason, errSlow) {
		a.c.hub.log.Warn("somebody attached to a container was let go", "id", a.c.id, "error", reason)
	}
	close(a.done)
}

// detach forgets a.
func (c *container) detach(a *attachment) {
	c.attaching.Lock()
	defer c.attaching.Unlock()
	for i := range c.attached {
		if c.attached[i] == a {
			c.attached = append(c.attached[:i:i], c.attached[i+1:]...)
			break
		}
	}
	if len(c.attached) == 0 {
		c.attached = nil
	}
}

// finished is called by each sender that has written everything.
func (a *attachment) finished() {
	a.mu.Lock()
	a.left--
	left := a.left
	a.mu.Unlock()
	if left == 0 {
		a.end(nil)
	}
}

// run writes the queue until the stream ends, a write fails or the attachment is let go.
func (s *sender) run() {
	for {
		text, ok := s.next()
		if !ok {
			s.a.finished()
			return
		}
		_, err := s.w.Write(text)
		if s.written(cost(text)) {
			s.a.c.resume(s.s)
		}
		if err != nil {
			s.a.end(err)
		}
	}
}

// next waits for something to write; ok is false if nothing will come.
func (s *sender) next() (text []byte, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) == 0 && !s.last && !s.gone {
		s.wake.Wait()
	}
	if s.gone || len(s.queue) == 0 {
		return nil, false
	}
	text, s.queue[0] = s.queue[0], nil
	s.queue = s.queue[1:]
	return text, true
}

// written makes room, and reports whether the stream waited for it.
func (s *sender) written(n int) (resume bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size -= n
	if s.held == nil || s.size > attachBuffer-peekSize {
		return false
	}
	s.held.Stop()
	s.held = nil
	return true
}

func (s *sender) put(text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone || s.last {
		return
	}
	s.queue = append(s.queue, text)
	s.size += cost(text)
	s.wake.Signal()
}

// room reports whether a batch may come. If not, the attachment ends when it may not after
// patience either.
func (s *sender) room(patience time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone || s.size <= attachBuffer-peekSize {
		return true
	}
	if s.held == nil {
		s.holds++
		hold := s.holds
		s.held = time.AfterFunc(max(patience, 0), func() { s.late(hold) })
	}
	return false
}

// late lets go of a sender that the stream has waited for ever since.
func (s *sender) late(hold int) {
	s.mu.Lock()
	late := s.held != nil && s.holds == hold
	s.mu.Unlock()
	if late {
		s.a.end(errSlow)
	}
}

func (s *sender) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = true
	s.wake.Signal()
}

// abandon drops the queue, and reports whether the stream waited for it.
func (s *sender) abandon() (resume bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	resume = s.held != nil
	if resume {
		s.held.Stop()
		s.held = nil
	}
	s.gone, s.queue = true, nil
	s.wake.Signal()
	return resume
}
