// SPDX-License-Identifier: Apache-2.0

// Package podlog carries what containers print from their FIFOs to CRI log files and to those
// who are attached.
//
// A fixed number of goroutines serves any number of containers: one epoll, whose workers
// read a FIFO when it has something. A FIFO belongs to the container: while no daemon reads, what is
// printed waits in it. A file that cannot be written never holds up the container: what is lost is
// counted and logged once.
package podlog
