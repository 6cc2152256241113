// SPDX-License-Identifier: Apache-2.0

// Package session is a client's temporary stay in a containerd: a namespace
// and an image to start containers from, removed with all that was made there.
//
// It talks containerd's public API only, so it works against any daemon that
// serves it and any runtime name.
package session
