// SPDX-License-Identifier: Apache-2.0

// Package probe answers health probes: what the command sardine-probe says of a container, without a process in it.
//
// The arguments after the name are
//
//	file PATH --validity DURATION     PATH, a regular file, was modified no longer ago than DURATION
//	tcp [HOST:]PORT                   a connection is accepted
//	http URL [--status 200-399] [--header K=V]...
//	grpc [HOST:]PORT [--service S]    grpc.health.v1.Health says SERVING
//	alive                             the main process exists and is not frozen
//	all PROBE -- PROBE ...            each of at most 16 succeeds
//	any PROBE -- PROBE ...            one of them does
//
// PATH is what the container's main process finds under that name, or volume:NAME/PATH, a path in one of the container's volumes. It is
// never opened: O_PATH and fstat(2) leave FIFOs, devices and sleeping servers alone. HOST is an IP address or
// localhost, the default, which is 127.0.0.1 and then ::1; the connection is made in the pod's network. URL may be short: :PORT/PATH.
//
// The answer is one line and an exit code: 0 success, 1 failure, 2 arguments that make no sense.
//
// The daemon and the program sardine-probe differ in their Target, and in nothing else.
package probe
