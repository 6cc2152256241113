// SPDX-License-Identifier: Apache-2.0

// Package stress drives a containerd with containers that live as briefly as
// possible, and times each step of their lives.
//
// The workloads are those of containerd-stress: every worker creates, starts,
// waits for and deletes containers of /bin/true, one after the other. By default
// each step is one call of containerd's API, so that the figures are the
// daemon's; Options.Library drives the client library's containers and tasks
// instead, as containerd-stress does. Options.CRI has pods of one container live
// instead, through any CRI socket.
package stress
