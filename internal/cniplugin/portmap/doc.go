// SPDX-License-Identifier: Apache-2.0

// Package portmap is the CNI plugin portmap: ports of the node lead to a pod.
//
// Configuration, rules and their comments are those of the reference plugin 1.9, https://www.cni.dev/plugins/current/meta/portmap/,
// whose rules are deleted here and the other way round. The difference: without a backend configured, nftables
// is taken where the kernel has it.
package portmap
