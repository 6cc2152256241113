// SPDX-License-Identifier: Apache-2.0

// Package holder is the process that keeps descriptors for the daemon where systemd does not,
// "sardine-init fdstore", and the messages it understands.
//
// They are those that a unit sends to systemd, sd_notify(3): FDSTORE=1 and FDSTOREREMOVE=1, each
// with FDNAME=. What systemd does otherwise, by starting the daemon, has a message of our own:
// X_SARDINE_LIST=1 brings a socket on which everything held is sent back. Lines that a holder does
// not know are skipped, so that a later daemon can speak to an earlier one.
//
// The daemon keeps its end of that socket. When it closes, the daemon has ended, in whatever way: a
// holder that holds nothing ends too.
//
// The package is linked into sardine-init, and is small for that reason.
package holder
