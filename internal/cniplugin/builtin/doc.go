// SPDX-License-Identifier: Apache-2.0

// Package builtin has the CNI plugins that run inside the daemon, and what they share.
package builtin
