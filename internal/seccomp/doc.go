// SPDX-License-Identifier: Apache-2.0

// Package seccomp compiles the seccomp profile of an OCI runtime specification into
// the program that seccomp(2) takes. Compiling takes milliseconds, profiles repeat: a
// Compiler keeps what it made.
//
// The compilation itself is libseccomp's. A build without cgo refuses every profile.
package seccomp
