// SPDX-License-Identifier: Apache-2.0

// Package network attaches pods to networks with CNI plugins.
//
// The configuration directory is watched; what was attached is recorded, so that a later
// daemon can detach it, and a DEL that failed is tried again until it succeeds: no address
// leaks.
package network
