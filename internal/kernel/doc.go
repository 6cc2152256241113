// SPDX-License-Identifier: Apache-2.0

// Package kernel is the thin layer over Linux system calls: each call that the
// rest of the project needs is wrapped here once, with EINTR handled, close-on-exec
// set and an error that names the call and its object. It also holds the probe of
// every optional kernel feature.
//
// The package is linked into sardine-init and therefore imports little and keeps
// no state.
package kernel
