// SPDX-License-Identifier: Apache-2.0

package podlog

import (
	"context"
	"io"
)

// Config names the streams of one container.
type Config struct {
	ID string // for messages
	// Stdout and Stderr are paths of FIFOs that exist; Stderr is "" with a terminal.
	Stdout, Stderr string
	// Path of the log file, "" for none. Its directory exists.
	Path string
	// Started says that the container was started before, by an earlier daemon: a FIFO
	// that nobody has open for writing is at its end. Otherwise the first writer is
	// waited for.
	Started bool
}

// Logger serves the logs of the node. *Hub implements it.
type Logger interface {
	// Open begins to read the FIFOs, which have a reader when it returns. It fails on account
	// of the FIFOs only (ErrNotFound, ErrInvalidArgument for another file): a log file
	// that cannot be opened is tried again, and what is printed meanwhile is lost and counted.
	Open(cfg Config) (Log, error)
}

// Log is the output of one container. Its methods may be called concurrently.
type Log interface {
	// Reopen writes to a new file at the same path from the next line on: log rotation.
	// Of a line that is longer than the limit, pieces may be in both. On error (ErrNotFound:
	// no such directory) the old file stays in use.
	Reopen() error
	// Attach copies what is printed from now on to the writers, either of which may be nil, until
	// the container's output ends, stop is called or a writer fails. A slow writer
	// does not hold up the container for longer than a bounded buffer takes; then it is let go.
	// done is closed at the end. After stop, or when a writer was let go, a Write may still be
	// in progress: it is for the caller to close what it writes to. A writer that has a method
	// CloseWithError(error) error, as *io.PipeWriter, is told why it was let go.
	Attach(stdout, stderr io.Writer) (done <-chan struct{}, stop func())
	// Drained returns when every writer of the FIFOs has closed its end and all they wrote is in
	// the file, or with ctx's error. After Close it returns nil.
	Drained(ctx context.Context) error
	// Close writes what is there and stops reading.
	Close()
}
