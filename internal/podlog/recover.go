// SPDX-License-Identifier: Apache-2.0

package podlog

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// recover finishes what an earlier daemon has begun with a stream, in such a way that this
// one may be killed meanwhile. The log file is open if it can be.
func (c *container) recover(s *stream) error {
	left := c.hub.journal.claim(s.id)
	if left == nil || s.fd < 0 {
		return nil
	}
	s.start, s.place = left.start, left.place
	switch step := left.step; {
	case step.step == stepTake, step.step == stepWrite && c.isWritten(step):
		if err := c.takeAgain(s, left); err != nil {
			return err
		}
		c.keepStart(s, nil)
	case step.step == stepCarry && step.isTaken() && len(left.next) > 0:
		s.start = left.next
	}
	if len(s.start) > 0 {
		c.hub.journal.setLength(s.place, s.id, len(s.start)) // it is young again
	} else {
		c.hub.journal.drop(s.place)
		s.place = -1
	}
	c.hub.journal.give(left.slot)
	return nil
}

// shorten cuts the start of a line that is longer than the limit, which was larger then.
func (c *container) shorten(s *stream, now time.Time) error {
	if len(s.start) <= c.hub.limit {
		return nil
	}
	b, err := c.hub.benches.get()
	if err != nil {
		return err
	}
	defer c.hub.benches.put(b)
	c.write(b, s, s.start, now, false)
	return nil
}

// takeAgain removes from the FIFO what an earlier daemon was about to.
func (c *container) takeAgain(s *stream, left *remains) error {
	if left.step.step == stepTake && left.step.isTaken() {
		return nil
	}
	b, err := c.hub.benches.get()
	if err != nil {
		return err
	}
	defer c.hub.benches.put(b)
	text, _, err := b.peek(s.fd, nil)
	if text = text[:min(len(text), int(left.step.taken))]; err != nil || len(text) == 0 {
		return err
	}
	left.step.step = stepTake
	c.hub.journal.write(left.slot, left.step)
	return b.take(s.fd, text, c.hub.journal.mark(left.slot))
}

// isWritten reports whether the entries of step are in the log file, and removes what is
// there of them otherwise. If the file is nowhere to be found, they count as missing: to repeat a
// line is better than to lose it.
func (c *container) isWritten(step record) bool {
	fd, own := c.file.fd, false
	if fd < 0 || !is(fd, step.log) {
		if fd, own = c.file.rotated(step.log), true; fd < 0 {
			return false
		}
	}
	if own {
		defer unix.Close(fd)
	}
	st, err := kernel.Stat(fd)
	if err != nil {
		return false
	}
	if uint64(st.Size) >= step.offset+step.size {
		return true
	}
	if uint64(st.Size) > step.offset {
		_ = truncate(fd, int64(step.offset))
	}
	return false
}

func is(fd int, id fifoID) bool {
	st, err := kernel.Stat(fd)
	return err == nil && id == fifoID{st.Dev, st.Ino}
}
