// SPDX-License-Identifier: Apache-2.0

// Package podlog carries what containers print from their FIFOs to CRI log files and to those
// who are attached.
//
// A fixed number of goroutines serves any number of containers: one epoll, whose workers
// look at a FIFO when it has something. A FIFO belongs to the container: while no daemon reads, what is
// printed waits in it. A file that cannot be written never holds up the container: what is lost is
// counted and logged once.
//
// # Nothing lost, nothing twice
//
// A worker looks at what waits in a FIFO by tee(2), writes the entries of whole lines to the file by
// one write(2), and only then takes their text out of the FIFO. What has no newline
// yet is taken when nothing more comes and kept as the start of a line, because the kernel wakes
// no reader when a large write finds a pipe that is not empty. So each byte is in the FIFO, in
// the start of a line or in the file, whenever the daemon is killed. Options.Journal, a file on
// tmpfs, holds the starts of lines and what each worker is about to do; with it
// the next daemon finds out which of two steps was the last, and goes on exactly there. It costs
// memory writes, and two small system calls per start of a line.
//
// What waits in the FIFOs of a container that ends while no daemon runs would be gone with their last descriptor. So
// the reading ends are in the descriptor store, Options.Store, from before the program can write until all of it was
// read.
//
// Exceptions: a kill while the output is one of a program that has set O_DIRECT on its stdout
// may repeat text; so may one between which and the restart the log file was moved to another directory or removed.
//
// # Compared with containerd
//
// Entries, their tags, the cut of long lines and the end of a stream without newline (a
// partial entry) are containerd's. A carriage return before a newline stays, where containerd drops it. Lines
// that were read together have the same time. "No limit" is 1 MiB. A log file
// that is removed is made again; one that is no regular file, a symbolic link for one, is not
// written. Somebody attached who is too slow is let go, where containerd lets the container wait.
package podlog
