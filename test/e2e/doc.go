// SPDX-License-Identifier: Apache-2.0

// Package e2e drives a real daemon as its users do, with ctr and with
// containerd's Go client, and looks at the node from outside and from inside a
// container.
//
// A test starts a private daemon with [StartDaemon], which has a root, a state
// directory and sockets of its own and is stopped at the end of the test. The
// node must then be as it was: see testnode. Images are built here and served
// by a registry on loopback, so nothing is downloaded.
//
// The programs under test are the ones in bin/ (SARDINE_BIN_DIR names another
// directory): run "make all tools" after a change.
package e2e
