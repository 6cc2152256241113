// SPDX-License-Identifier: Apache-2.0

// Package stress drives a containerd with containers that live as briefly as
// possible, and times each step of their lives.
//
// The workloads are those of containerd-stress: every worker creates, starts,
// waits for and deletes containers of /bin/true, one after the other. It uses
// containerd's client library as any client would, so a figure holds the
// library's share too; it is the same for every daemon that is compared.
package stress
