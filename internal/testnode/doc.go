// SPDX-License-Identifier: Apache-2.0

// Package testnode compares a node before and after a test: processes, mounts,
// cgroups, namespaces, open descriptors and files. What a test leaves behind is
// a leak, and fails it.
//
// Everything on the node is recorded, but by default only what the test can
// have made counts: descendants of the test process and of its daemons, what
// lies in its cgroups, and what mentions its directories. Other tests and users
// may work on the same machine meanwhile. Options.Everything drops that
// restriction, for a machine where nothing else runs.
package testnode
