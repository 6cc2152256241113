// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"os"

	"golang.org/x/sys/unix"
)

// OutputPipe makes a pipe for a program to write to: pipe(2). The daemon's end is served by
// Go's poller, so that a goroutine that reads it holds no thread; the program's end
// blocks, as programs expect of their streams.
func OutputPipe() (ours, program *os.File, err error) { return newPipe(0) }

// InputPipe makes a pipe for a program to read from, otherwise like OutputPipe.
func InputPipe() (ours, program *os.File, err error) { return newPipe(1) }

// newPipe makes a pipe whose end number mine, 0 for reading, is the daemon's.
func newPipe(mine int) (ours, program *os.File, err error) {
	var ends [2]int
	if err := retry(func() error { return unix.Pipe2(ends[:], unix.O_CLOEXEC) }); err != nil {
		return nil, nil, wrap("pipe2", "", err)
	}
	// The flag belongs to an end, not to the pipe. It is set before there is an
	// os.File, which looks at it only once.
	if err := SetNonblock(ends[mine], true); err != nil {
		unix.Close(ends[0])
		unix.Close(ends[1])
		return nil, nil, err
	}
	return os.NewFile(uintptr(ends[mine]), "pipe"), os.NewFile(uintptr(ends[1-mine]), "pipe"), nil
}
