// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// flow copies from one descriptor, of a terminal or to be fed into one, to another. All but
// ended belongs to the Pump.
type flow struct {
	from, to int // its own, nonblocking; to is -1 when the text is dropped
	token    uint64
	over     func()        // called when the flow has come to its end
	ended    chan struct{} // closed after that, or when the flow was stopped

	// buffered says that there is no pipe to splice: then what is pending has left from and is
	// lost if the daemon is killed.
	buffered bool
	pending  []byte
	buffer   []byte
}

// portion is how many bytes are copied at a time: what a terminal gives at once.
const portion = 4096

// need is what has to be the case before a flow can go on.
type need int

const (
	nothing  need = iota // it has ended
	readable             // from
	writable             // to
)

// newFlow makes duplicates of the files. They get O_NONBLOCK, as all duplicates have it in common.
func newFlow(from, to *os.File, over func()) (*flow, error) {
	f := &flow{from: -1, to: -1, over: over, ended: make(chan struct{}), buffered: to == nil}
	err := duplicate(from, &f.from)
	if err == nil && to != nil {
		err = duplicate(to, &f.to)
	}
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func duplicate(file *os.File, fd *int) (err error) {
	if *fd, err = kernel.DupFD(int(file.Fd())); err != nil {
		*fd = -1
		return err
	}
	return kernel.SetNonblock(*fd, true)
}

// move copies one portion.
func (f *flow) move() need {
	if f.buffered {
		return f.copy()
	}
	n, err := kernel.Splice(f.from, f.to, portion)
	switch {
	case n > 0:
		return readable
	case errors.Is(err, unix.EAGAIN):
		return f.heldUp()
	case errors.Is(err, unix.EINVAL):
		f.buffered = true
		return f.copy()
	}
	// Its end, which read(2) of a terminal reports as EIO, or an error, of which nobody is
	// there to be told.
	return nothing
}

// heldUp says which side splice did not go on for. One that will never take anything again, as a
// terminal without a program, would be reported by epoll all the time.
func (f *flow) heldUp() need {
	free, gone, err := kernel.Writable(f.to)
	switch {
	case gone || err != nil:
		return nothing
	case free:
		return readable
	}
	return writable
}

// copy is move by read and write. Text that nobody wants is dropped, so that the program does
// not block.
func (f *flow) copy() need {
	if len(f.pending) == 0 {
		if f.buffer == nil {
			f.buffer = make([]byte, portion)
		}
		n, err := kernel.ReadFD(f.from, f.buffer)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return readable
		case err != nil || n == 0:
			return nothing
		case f.to < 0:
			return readable
		}
		f.pending = f.buffer[:n]
	}
	n, err := kernel.WriteFD(f.to, f.pending)
	if errors.Is(err, unix.EAGAIN) && f.heldUp() != nothing {
		return writable
	}
	if err != nil {
		return nothing
	}
	if f.pending = f.pending[n:]; len(f.pending) > 0 {
		return writable
	}
	return readable
}

func (f *flow) close() {
	for _, fd := range []*int{&f.from, &f.to} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}
