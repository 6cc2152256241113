// SPDX-License-Identifier: Apache-2.0

// Package upgrade replaces the daemon of the previous release by the present one while pods and containers run, and the other
// way round.
//
// The file previous names the release: its commit and its version. It is built from this repository's history, with
// its own Makefile, into .cache/previous. A clone without that commit skips the tests.
package upgrade
