// SPDX-License-Identifier: Apache-2.0

// Package stream serves the sessions with containers that last: exec, attach and port forwarding, over
// the kubelet's streaming protocols, and ExecSync, a session with a buffer at its end.
package stream
