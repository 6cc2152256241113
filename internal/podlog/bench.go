// SPDX-License-Identifier: Apache-2.0

package podlog

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

const (
	peekSize = 64 << 10  // what a FIFO holds unless the program has enlarged it
	outSize  = 256 << 10 // of entries that are written at once
)

// bench is what it takes to work on a FIFO. A worker has one; Close borrows one.
type bench struct {
	null        int // /dev/null, the Hub's
	read, write int // the scratch pipe, empty between calls

	text   []byte // limit bytes for the start of a line that came before, then peekSize
	out    []byte
	header header
	slot   int    // of the journal; -1 without
	mark   []byte // of the slot

	left int // bytes of what was peeked that were not taken
	// packets says that the program has set O_DIRECT, see pipe(2): what was peeked comes
	// in packets, of which read(2) takes one at a time and drops what is not wanted.
	packets, asked bool
}

func newBench(null, limit, slot int, mark []byte) (*bench, error) {
	read, write, err := kernel.ScratchPipe(peekSize)
	if err != nil {
		return nil, err
	}
	return &bench{
		null: null, read: read, write: write, slot: slot, mark: mark,
		text:   make([]byte, limit+peekSize),
		out:    make([]byte, 0, max(outSize, limit+2*maxHeader)),
		header: make(header, 0, maxHeader),
	}, nil
}

func (b *bench) close() {
	unix.Close(b.read)
	unix.Close(b.write)
}

// peek returns before followed by what waits in fifo, which stays there. The result is valid
// until the next call.
func (b *bench) peek(fifo int, before []byte) (text []byte, waiting int, err error) {
	head := len(b.text) - peekSize
	waiting, err = kernel.Tee(fifo, b.write, peekSize)
	if err != nil {
		return nil, 0, err
	}
	b.packets, b.asked, b.left = false, false, waiting
	for got := 0; got < waiting; {
		n, err := unix.Read(b.read, b.text[head+got:head+waiting])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err == nil && n == 0:
			err = io.ErrUnexpectedEOF
			fallthrough
		case err != nil:
			return nil, 0, errors.Join(fmt.Errorf("read: %w", err), b.renew())
		}
		got += n
		b.packets = b.packets || got < waiting
	}
	start := head - len(before)
	copy(b.text[start:], before)
	return b.text[start : head+waiting], waiting, nil
}

// take removes from fifo the text that was peeked; there may be less of it if the program
// reads its own output. It reads the text over itself, but the first byte to mark: unlike
// splice(2), read(2) is not cut short by SIGKILL, so that all is taken and marked or nothing.
func (b *bench) take(fifo int, text, mark []byte) error {
	packets, err := b.inPackets(fifo, len(text))
	if err != nil {
		return err
	}
	b.left -= len(text)
	if packets {
		_, err := kernel.Drop(fifo, b.null, len(text))
		return err
	}
	for taken := 0; taken < len(text); {
		rest := [][]byte{mark, text[1:]}
		if taken > 0 {
			rest = [][]byte{text[taken:]}
		}
		n, err := unix.Readv(fifo, rest)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN), err == nil && n == 0:
			return nil
		case err != nil:
			return fmt.Errorf("readv: %w", err)
		}
		taken += n
	}
	return nil
}

// inPackets reports whether to take n bytes would lose some that follow. Whether the only
// packet is one shows when it is read in two parts.
func (b *bench) inPackets(fifo, n int) (bool, error) {
	if b.packets || b.asked || n == b.left {
		return b.packets, nil
	}
	b.asked = true
	two, err := kernel.Tee(fifo, b.write, 2)
	if err != nil || two == 0 {
		return false, err
	}
	for range two {
		var buf [1]byte
		if _, err := unix.Read(b.read, buf[:]); errors.Is(err, unix.EAGAIN) {
			b.packets = true
		} else if err != nil {
			return false, errors.Join(fmt.Errorf("read: %w", err), b.renew())
		}
	}
	return b.packets, nil
}

// renew replaces the scratch pipe, which is not empty as it should be.
func (b *bench) renew() (err error) {
	b.close()
	b.read, b.write, err = kernel.ScratchPipe(peekSize)
	return err
}

// benches makes benches: for each worker one, and for who needs one for a moment.
type benches struct {
	null, limit int
	journal     *journal
}

func (p *benches) get() (*bench, error) {
	slot := p.journal.take()
	b, err := newBench(p.null, p.limit, slot, p.journal.mark(slot))
	if err != nil {
		p.journal.give(slot)
	}
	return b, err
}

// put gives b back.
func (p *benches) put(b *bench) {
	b.close()
	p.journal.give(b.slot)
}
