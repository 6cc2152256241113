// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// terminal connects the master of a pseudoterminal with the client's streams. It is
// guarded by Streams.mu, except close.
type terminal struct {
	pump   *Pump
	keeper Keeper

	input, output *os.File // nil for none, and once they are copied
	master        *os.File // nil until attach
	in, out       *flow    // nil until attach; in also when there is no input
}

func newTerminal(files [3]*os.File, opts Options) *terminal {
	t := &terminal{pump: opts.Pump, keeper: opts.Keeper, input: files[0], output: files[1]}
	if files[2] != files[1] { // a logging program's second pipe: a terminal has one stream
		closeAll(files[2])
	}
	return t
}

// attach takes over the master and begins to copy. It goes on until the last process of the
// terminal has closed it, or until close.
func (t *terminal) attach(master *os.File) error {
	t.master = master
	t.keeper.Keep(roleTerminal, present(t.master, t.output, t.input)...)
	return t.begin()
}

func (t *terminal) begin() (err error) {
	if t.out, err = t.pump.copy(t.master, t.output, t.over); err != nil {
		return err
	}
	if t.input != nil {
		if t.in, err = t.pump.copy(t.input, t.master, func() {}); err != nil {
			return err
		}
	}
	closeAll(t.output, t.input) // the pump has its own; the client sees the end when that is closed
	t.output, t.input = nil, nil
	return nil
}

// over gives up what is kept, too: the client's end of file.
func (t *terminal) over() { t.keeper.Drop(roleTerminal) }

func (t *terminal) resize(width, height uint16) error {
	if t.master == nil {
		return nil
	}
	return kernel.SetWindowSize(int(t.master.Fd()), width, height)
}

// close waits for the output to be copied, until ctx is done. It may be called again, but not
// concurrently.
func (t *terminal) close(ctx context.Context) {
	if t.out != nil {
		select {
		case <-t.out.ended:
		case <-ctx.Done():
		}
		t.pump.stop(t.out)
	}
	if t.in != nil {
		t.pump.stop(t.in)
	}
	t.keeper.Drop(roleTerminal)
	closeAll(t.input, t.output, t.master)
}

// resumeTerminal returns the terminal whose descriptors were kept, nil if there are none.
func resumeTerminal(opts Options) (*terminal, error) {
	files := opts.Keeper.Take(roleTerminal)
	if len(files) == 0 {
		return nil, nil
	}
	t := &terminal{pump: opts.Pump, keeper: opts.Keeper}
	for _, f := range files {
		if err := t.recognize(f); err != nil {
			closeAll(files...)
			return nil, fmt.Errorf("resume terminal: %w", err)
		}
	}
	if t.master == nil {
		closeAll(files...)
		return nil, fmt.Errorf("resume terminal: its master is missing: %w", os.ErrNotExist)
	}
	return t, t.begin()
}

// recognize finds out what f was: the input can only be read, and of the others the master is
// that of a terminal.
func (t *terminal) recognize(f *os.File) error {
	mode, err := kernel.AccessMode(int(f.Fd()))
	if err != nil {
		return err
	}
	switch {
	case mode == unix.O_RDONLY:
		t.input = f
	case mode == unix.O_RDWR && kernel.IsTerminalMaster(int(f.Fd())):
		t.master = f
	default:
		t.output = f
	}
	return nil
}

// present returns the files that are not nil.
func present(files ...*os.File) []*os.File {
	var list []*os.File
	for _, f := range files {
		if f != nil {
			list = append(list, f)
		}
	}
	return list
}
