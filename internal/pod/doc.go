// SPDX-License-Identifier: Apache-2.0

// Package pod is the pod sandbox and the containers it owns, as CRI sees them.
//
// A pod has no process of its own. Its namespaces and its /dev/shm are held open by the daemon and pinned in
// a mount namespace that nothing else uses, so that they outlive the daemon without a line each
// in the host's mount table. Records lie on a tmpfs; no step of a pod's life waits for a disk.
package pod
