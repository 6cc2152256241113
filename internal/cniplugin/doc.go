// SPDX-License-Identifier: Apache-2.0

// Package cniplugin runs CNI plugins inside the daemon.
//
// A Plugin is what a plugin's program would be: its verbs. A Set stands where libcni would execute programs and
// calls the plugins it has; every other type is executed, so that one chain may have both, and delegates of either.
// What a plugin gets and gives is what would go through its environment, standard input and output.
//
// Previous, Undo, Detach and Masquerade are what more than one of our plugins has.
//
// Specification: https://www.cni.dev/docs/spec/ (1.1.0).
package cniplugin
