// SPDX-License-Identifier: Apache-2.0

// Package launch turns a Request into a process: it opens what the process is to
// inherit, clones sardine-init into new and joined namespaces and the cgroup, sends
// the Plan and speaks the control protocol until the user's program runs. It holds
// no policy: what is to be done was decided by whoever made the Request.
package launch
