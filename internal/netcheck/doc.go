// SPDX-License-Identifier: Apache-2.0

// Package netcheck compares what a node's network has for pods with the pods that there are.
//
// It looks from outside, at the daemon's CRI socket, its records, libcni's results, and what plugins keep on disk and
// in the kernel. A pod has a record before the first plugin runs and until the last one is done, so what belongs to no record and no
// pod is left over. Everything is looked at twice: what only was on its way is gone by then.
package netcheck
