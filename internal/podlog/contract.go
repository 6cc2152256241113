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
}

// Logger serves the logs of the node. *Hub implements it.
type Logger interface {
	// Open begins to read the FIFOs, which have a reader when it returns.
	Open(cfg Config) (Log, error)
}

// Log is the output of one container.
type Log interface {
	// Reopen writes to a new file at the same path from the next line on: log rotation.
	Reopen() error
	// Attach copies what is printed from now on to the writers, either of which may be nil, until
	// the container's output ends, stop is called or a writer fails. A slow writer
	// does not hold up the container for longer than a bounded buffer takes; then it is let go.
	// done is closed at the end.
	Attach(stdout, stderr io.Writer) (done <-chan struct{}, stop func())
	// Drained returns when every writer of the FIFOs has closed its end and all they wrote is in
	// the file, or with ctx's error.
	Drained(ctx context.Context) error
	// Close writes what is there and stops reading.
	Close()
}
