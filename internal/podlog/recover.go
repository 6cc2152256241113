// SPDX-License-Identifier: Apache-2.0

package podlog

import (
	"time"

	"github.com/sardine-run/sardine/internal/kernel"
)

// recover finishes what an earlier daemon has begun with a stream. The log file is open if it
// can be.
func (c *container) recover(s *stream, now time.Time) error {
	left := c.hub.journal.claim(s.id)
	if left == nil || s.fd < 0 {
		return nil
	}
	b, err := c.hub.benches.get()
	if err != nil {
		return err
	}
	defer c.hub.benches.put(b)

	s.start, s.place = left.start, left.place
	step := left.step
	switch step.step {
	case stepWrite:
		if c.isWritten(step) {
			c.take(b, s, int(step.taken))
			c.keepStart(s, nil)
		}
	case stepTake:
		if stillWaits(b, s, step) {
			c.take(b, s, int(step.taken))
		}
		c.keepStart(s, nil)
	case stepCarry:
		if len(left.next) > 0 && !stillWaits(b, s, step) {
			s.start = left.next
			c.hub.journal.setLength(s.place, s.id, len(s.start))
		}
	}
	if len(s.start) == 0 {
		c.hub.journal.drop(s.place)
		s.place = -1
	}
	c.hub.journal.give(left.slot)
	if len(s.start) > c.hub.limit { // which was larger then
		c.write(b, s, s.start, now, false)
	}
	return nil
}

// isWritten reports whether the entries of step are in the log file, and removes what is
// there of them otherwise. If the file is another one now, they count as missing: to repeat a
// line is better than to lose it.
func (c *container) isWritten(step record) bool {
	if c.file.fd < 0 {
		return false
	}
	st, err := kernel.Stat(c.file.fd)
	if err != nil || step.log != (fifoID{st.Dev, st.Ino}) {
		return false
	}
	if uint64(st.Size) >= step.offset+step.size {
		return true
	}
	if uint64(st.Size) > step.offset {
		_ = truncate(c.file.fd, int64(step.offset))
	}
	return false
}

// stillWaits reports whether what step was to take is still in the FIFO. Only a daemon that was
// killed within the system call, or next to it, leaves that open; then the text decides.
func stillWaits(b *bench, s *stream, step record) bool {
	text, waiting, err := b.peek(s.fd, nil)
	return err == nil && waiting > 0 && uint64(waiting) >= min(step.taken, peekSize) && sum(text[:min(waiting, int(step.taken))]) == step.sum
}
