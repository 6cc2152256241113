// SPDX-License-Identifier: Apache-2.0

// Package crirouter sends CRI requests for pods of a shim's runtime handler to containerd's own CRI
// server, and all others to ours.
package crirouter
