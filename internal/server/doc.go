// SPDX-License-Identifier: Apache-2.0

// Package server assembles the daemon out of containerd's own packages: the
// same plugins, configuration file, sockets and commands as containerd, with
// the task runtime replaced by ours.
//
// This is the one place where plugins are registered by side effect, because
// that is how containerd is put together. Everything below this package gets
// its parts as arguments.
package server
