// SPDX-License-Identifier: Apache-2.0

// Package stdio connects a process in a container with what its client named for its
// standard streams: FIFOs, files, a logging program, or a terminal between them.
//
// A program without a terminal gets the FIFO, file or pipe itself as its descriptor.
// Nothing is copied and the daemon is not in the way: it may end and be replaced while
// programs write. A FIFO for output is opened for reading too, so that a client that
// goes away makes the writer wait for the next one instead of killing it by SIGPIPE.
//
// A terminal is copied between its master and the FIFOs, by two goroutines that end
// with the terminal.
package stdio
