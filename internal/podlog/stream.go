// SPDX-License-Identifier: Apache-2.0

package podlog

import (
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// stream is one FIFO, opened for reading.
//
// What it holds is looked at in place and taken away only when it is in the log file. What is
// left when nothing more comes, the start of a line, is taken too: the kernel does not wake
// a reader for a large write into a pipe that was not empty.
type stream struct {
	name string
	fd   int // -1 at the end
	id   fifoID

	start []byte // of a line that was taken from the FIFO, at most the limit
	place int    // of start in the journal, -1 without
	seen  int    // bytes at the head of the FIFO that those attached have already
}

// MakeFIFO makes a FIFO for a container's output that only root may open by its name:
// mkfifo(3). One that exists already will do; ErrInvalidArgument for another file.
func MakeFIFO(path string) error {
	err := unix.Mkfifo(path, 0o600)
	if err == nil || !errors.Is(err, unix.EEXIST) {
		if err != nil {
			return fmt.Errorf("mkfifo %s: %w", path, classify(err))
		}
		return nil
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return fmt.Errorf("mkfifo %s: it exists and is something else: %w", path, errdefs.ErrInvalidArgument)
	}
	return nil
}

// open opens the FIFO path, unless it is open as fd. It does not wait for a writer. With started, a FIFO
// without a writer is at its end.
func (s *stream) open(path string, fd int, started bool) (err error) {
	if s.fd = fd; fd < 0 {
		if s.fd, err = kernel.OpenFD(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0); err != nil {
			return classify(err)
		}
	}
	st, err := kernel.Stat(s.fd)
	if err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return fmt.Errorf("%s is not a FIFO: %w", path, errdefs.ErrInvalidArgument)
	}
	s.id = fifoID{st.Dev, st.Ino}
	if started { // a writer that comes and goes tells the kernel that there was one
		writer, err := kernel.OpenAgain(s.fd, unix.O_WRONLY|unix.O_NONBLOCK)
		if err != nil {
			return err
		}
		unix.Close(writer)
	}
	return nil
}

// over reports that no writer is left and nothing waits. One may have come again since epoll
// said so, when the daemon's own are the writers.
func (s *stream) over() bool {
	gone, err := kernel.NoWriter(s.fd)
	if err != nil || !gone {
		return err != nil
	}
	waiting, err := kernel.Waiting(s.fd)
	return err != nil || waiting == 0
}

// close closes the stream, if it is open. Its watch must be ended first: the store may have the same FIFO open,
// and then it would go on.
func (h *Hub) close(s *stream) {
	if s.fd < 0 {
		return
	}
	_ = kernel.EpollRemove(h.epoll, s.fd) // it may not be watched yet
	unix.Close(s.fd)
	s.fd = -1
}

// batch moves what waits in a stream, 64 KiB at most, and returns how much that was. While a
// program prints a lot it leaves the start of a line in the FIFO for the next batch,
// unless all is set. io is held.
func (c *container) batch(b *bench, s *stream, all bool) (waiting int, err error) {
	text, waiting, err := b.peek(s.fd, s.start)
	if err != nil || waiting == 0 {
		return 0, err
	}
	before := len(s.start)
	s.seen = min(s.seen, waiting) // less if the program reads its own output
	c.send(s, text[before+s.seen:])
	s.seen = waiting

	used := c.write(b, s, text, time.Now(), false)
	rest := text[max(used, before):]
	if len(rest) > 0 && (all || used == 0 || waiting < peekSize/2 || b.packets) {
		c.carry(b, s, rest)
	}
	return waiting, nil
}

// flush writes the start of a line whose end will not come. io is held.
func (c *container) flush(b *bench, s *stream) {
	if len(s.start) > 0 {
		c.write(b, s, s.start, time.Now(), true)
	}
}

// write puts the entries of text into the log and returns how much of text they hold. text
// is s.start and what follows in the FIFO, from where it is taken.
func (c *container) write(b *bench, s *stream, text []byte, now time.Time, all bool) (used int) {
	b.header = b.header.set(now, s.name)
	for used < len(text) {
		out, n := b.header.entries(b.out[:0], text[used:], c.hub.limit, all)
		if n == 0 {
			break
		}
		c.commit(b, s, out, text[used:used+n], now)
		used += n
	}
	return used
}

// commit writes out, the entries of text, to the file and takes text from where it was. Those
// two steps are one for the daemon that follows one that is killed in between.
func (c *container) commit(b *bench, s *stream, out, text []byte, now time.Time) {
	own := min(len(text), len(s.start))
	waiting := text[own:]
	step := record{step: stepWrite, fifo: s.id, size: uint64(len(out)), taken: uint64(len(waiting))}
	if len(waiting) > 0 {
		step.first = waiting[0]
	}
	if c.file.path != "" {
		kept, err := c.file.append(out, c.hub.limit, now, func(st unix.Stat_t) {
			step.log, step.offset = fifoID{st.Dev, st.Ino}, uint64(st.Size)
			c.hub.journal.write(b.slot, step)
		})
		if err == nil {
			c.saved()
		} else {
			c.lose(b.header.textSize(out[kept:]), now, err)
		}
	}
	step.step = stepTake
	c.hub.journal.write(b.slot, step)
	c.take(b, s, waiting)
	c.keepStart(s, s.start[own:])
	c.hub.journal.step(b.slot, stepNone)
}

// take removes text, which is no longer needed, from the FIFO.
func (c *container) take(b *bench, s *stream, text []byte) {
	if len(text) == 0 {
		return
	}
	if err := b.take(s.fd, text, b.mark); err != nil {
		c.hub.log.Error("take output of container", "id", c.id, "stream", s.name, "error", err)
	}
	s.seen = max(s.seen-len(text), 0)
}

// keepStart leaves rest, mostly nothing, of the start of a line.
func (c *container) keepStart(s *stream, rest []byte) {
	if len(rest) == len(s.start) {
		return
	}
	c.hub.journal.drop(s.place)
	s.place = -1
	if s.start = nil; len(rest) > 0 {
		s.start = append(s.start, rest...)
		s.place = c.hub.journal.extend(-1, 0, rest)
		c.hub.journal.setLength(s.place, s.id, len(rest))
	}
}

// carry takes more, which waits in the FIFO, to the start of a line.
func (c *container) carry(b *bench, s *stream, more []byte) {
	j, length := c.hub.journal, len(s.start)+len(more)
	if s.place = j.extend(s.place, len(s.start), more); s.place >= 0 {
		j.write(b.slot, record{
			step: stepCarry, fifo: s.id, offset: uint64(s.place), size: uint64(length),
			taken: uint64(len(more)), first: more[0],
		})
	}
	s.start = append(s.start, more...)
	c.take(b, s, more)
	j.setLength(s.place, s.id, length)
	if s.place >= 0 {
		j.step(b.slot, stepNone)
	}
}
