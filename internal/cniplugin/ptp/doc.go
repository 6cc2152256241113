// SPDX-License-Identifier: Apache-2.0

// Package ptp is the CNI plugin of that name: a pod is attached by a veth pair to the host, which routes.
//
// Configuration, result and what it leaves in the kernel are the reference plugin's (version 1.9). The pair is made by one request and
// the host's end comes up last. DEL removes the host's route to the pod and leaves the pair to the kernel, which deletes
// it with the pod's namespace.
package ptp
