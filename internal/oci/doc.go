// SPDX-License-Identifier: Apache-2.0

// Package oci turns an OCI runtime specification, Linux part, version 1.x up to 1.3,
// into a launch.Request. Every mistake a user can make in a spec is reported here,
// with an errdefs class and the name of the field, before anything is made.
//
// The translation has no side effects. It looks at the host where the answer
// depends on it: whether a bind's source exists and is a file, whether a network
// namespace path is the host's own.
package oci
