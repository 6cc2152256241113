// SPDX-License-Identifier: Apache-2.0

// Package stdio connects a process in a container with what its client named for its
// standard streams: FIFOs, files, a logging program, or a terminal between them.
//
// A program without a terminal gets the FIFO, file or pipe itself as its descriptor.
// Nothing is copied and the daemon is not in the way: it may end and be replaced while
// programs write. A FIFO for output is opened for reading too, so that a client that
// goes away makes the writer wait for the next one instead of killing it by SIGPIPE.
//
// A terminal has to be copied between its master and the client's FIFOs. One Pump does so
// for all of them, by splice(2): in one system call bytes leave the terminal and enter the
// FIFO, so that however the daemon ends none is lost, doubled or reordered. Its
// descriptors are kept (Keeper) where the next daemon finds them: meanwhile the program
// writes until its terminal is full, and its client waits.
//
// The promise is smaller where no pipe is: of output to an ordinary file or device, input
// from one, and on Linux 5.10, whose terminals cannot be spliced, up to 4096 bytes that were
// read and not yet written are lost when the daemon ends between the two. None is doubled
// or reordered.
package stdio
