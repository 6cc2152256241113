// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// openOutput opens a FIFO or file for a program to write to.
func openOutput(ctx context.Context, name string) (*os.File, error) {
	fifo, err := isFIFO(name)
	if err != nil {
		return nil, err
	}
	if !fifo {
		return kernel.Open(name, unix.O_WRONLY|unix.O_APPEND, 0)
	}
	reader, err := awaitReader(ctx, name)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	return kernel.Reopen(reader, unix.O_RDWR)
}

// awaitReader opens the FIFO name once a client has it open for reading: output written
// before would be lost if the program ended first, because a pipe that nobody holds
// forgets its content. Clients open it before they ask for the container, on
// another thread, so the wait is short. It ends with ctx.
//
// Polling, because the alternatives are worse: an open that blocks holds an OS thread and
// cannot be interrupted.
func awaitReader(ctx context.Context, name string) (*os.File, error) {
	const first, longest = 100 * time.Microsecond, 20 * time.Millisecond
	for pause := first; ; pause = min(2*pause, longest) {
		f, err := kernel.Open(name, unix.O_WRONLY|unix.O_NONBLOCK, 0)
		if !errors.Is(err, unix.ENXIO) {
			return f, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no client reads FIFO %s: %w", name, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

// openInput opens a FIFO or file for a program to read from.
func openInput(name string) (input *os.File, fifo bool, err error) {
	if fifo, err = isFIFO(name); err != nil {
		return nil, false, err
	}
	if !fifo {
		input, err = kernel.Open(name, unix.O_RDONLY, 0)
		return input, false, err
	}
	if input, err = kernel.Open(name, unix.O_RDONLY|unix.O_NONBLOCK, 0); err != nil {
		return nil, false, err
	}
	if err = kernel.SetNonblock(int(input.Fd()), false); err != nil {
		input.Close()
		return nil, false, err
	}
	return input, true, nil
}

// keepOpen opens the daemon's own writing end of an input FIFO: while it is open, the
// program does not see the end of its input when a client goes away. It is nil when a
// client has come, written all it had and gone already: clients ask for CloseStdin when
// they come to the end, and this one came to it before there was a process to ask for.
func keepOpen(input *os.File) (*os.File, error) {
	if gone, err := kernel.HungUp(input); err != nil || gone {
		return nil, err
	}
	return kernel.Reopen(input, unix.O_WRONLY|unix.O_NONBLOCK)
}

// openFile opens a log file to append to, with its directories.
func openFile(name string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, err
	}
	return kernel.Open(name, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT, 0o644)
}

func isFIFO(name string) (bool, error) {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("%s: no such FIFO or file: %w", name, errdefs.ErrNotFound)
	}
	if err != nil {
		return false, err
	}
	return info.Mode()&fs.ModeNamedPipe != 0, nil
}

// closeAll closes files, nil ones excepted, each once.
func closeAll(files ...*os.File) {
	closed := make(map[*os.File]bool, len(files))
	for _, f := range files {
		if f != nil && !closed[f] {
			closed[f] = true
			f.Close()
		}
	}
}
