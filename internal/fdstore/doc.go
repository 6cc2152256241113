// SPDX-License-Identifier: Apache-2.0

// Package fdstore keeps descriptors that must outlive the daemon: the reading ends of
// containers' output, the writing ends of their input, terminals, pidfds.
//
// Under systemd they lie in the file descriptor store of the daemon's unit
// (sd_notify(3), FDSTORE=1); elsewhere in a holder, a process of ours that speaks the same
// datagram protocol, is started by the first daemon and outlives all of them.
package fdstore
