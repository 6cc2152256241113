// SPDX-License-Identifier: Apache-2.0

// Package differential compares the plugins inside the daemon with the reference plugins.
//
// A row is a configuration with what pods ask of it. It is run in several worlds: a world is a process with a network
// namespace that stands for the host's, a mount namespace with empty directories for state, and pods, so that every
// path is the same in all of them. In one the reference's programs do everything, in one ours do, in a third one adds and the other deletes.
// After each step what can be seen is noted: the result or error, interfaces, addresses, routes, rules, sysctls, packet filter, traffic
// control and files. What differs and is not among the reviewed differences fails.
package differential
