// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"context"
	"io"
	"os"
	"sync"

	"github.com/sardine-run/sardine/internal/kernel"
)

// terminal copies between the master of a pseudoterminal and the client's streams.
// It is guarded by Streams.mu, except close.
type terminal struct {
	input, output *os.File // nil for none
	master        *os.File // nil until attach

	in, out sync.WaitGroup
	once    sync.Once
}

func newTerminal(files [3]*os.File) *terminal {
	t := &terminal{input: files[0], output: files[1]}
	if files[2] != files[1] { // a logging program's second pipe: a terminal has one stream
		closeAll(files[2])
	}
	return t
}

// attach starts the two goroutines. They end when the last process of the terminal has
// closed it, or by close.
func (t *terminal) attach(master *os.File) (err error) {
	if t.master, err = polled(master); err != nil {
		return err
	}
	if t.input != nil {
		if t.input, err = polled(t.input); err != nil {
			return err
		}
		t.in.Go(func() { copyStream(t.master, t.input) })
	}
	if t.output != nil {
		if t.output, err = polled(t.output); err != nil {
			return err
		}
	}
	t.out.Go(t.copyOut)
	return nil
}

// copyOut reads until the terminal is hung up, which read(2) reports as EIO. Without an
// output the text is dropped, so that the program does not block.
func (t *terminal) copyOut() {
	if t.output == nil {
		copyStream(io.Discard, t.master)
		return
	}
	copyStream(t.output, t.master)
	t.output.Close() // the client's end of file
}

// copyStream copies until an end or an error, neither of which has anybody to be told to.
// It hides the files' own ReadFrom and WriteTo: splice does not work on terminals, and
// io.Copy would fall back to a larger buffer.
func copyStream(to io.Writer, from io.Reader) {
	const size = 4096 // what a terminal gives at once
	_, _ = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, size))
}

// polled gives f back as a file that Go's poller serves, so that a goroutine that reads
// it holds no thread and close interrupts it. A new File, because O_NONBLOCK is looked
// at only when one is made. It closes f.
func polled(f *os.File) (*os.File, error) {
	defer f.Close()
	if err := kernel.SetNonblock(int(f.Fd()), true); err != nil {
		return nil, err
	}
	return kernel.Dup(f)
}

func (t *terminal) resize(width, height uint16) error {
	if t.master == nil {
		return nil
	}
	conn, err := t.master.SyscallConn() // Fd would take the file out of the poller
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) { failed = kernel.SetWindowSize(int(fd), width, height) })
	if err == nil {
		err = failed
	}
	return err
}

// close waits for the output to be copied, until ctx is done.
func (t *terminal) close(ctx context.Context) {
	t.once.Do(func() {
		drained := make(chan struct{})
		go func() { t.out.Wait(); close(drained) }()
		select {
		case <-drained:
		case <-ctx.Done():
		}
		closeAll(t.input, t.output, t.master) // wakes both goroutines
		t.in.Wait()
		<-drained
	})
}
