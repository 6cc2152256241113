// SPDX-License-Identifier: Apache-2.0

// Package stream serves the sessions with containers that last: exec, attach and port forwarding, over
// the kubelet's streaming protocols, and ExecSync, a session with a buffer at its end.
//
// A session ends with its client's connection. Then its input ends, its output has no reader any
// more, and its terminal is hung up; the process itself is not killed. While a process
// does not read what its client has sent, and that is more than a pipe holds, the library does
// not see the client go before the process ends or Config.IdleTimeout is over.
//
// Only ExecSync kills, when its time is over or its caller has gone: the process and all that it
// has started.
package stream
