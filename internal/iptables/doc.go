// SPDX-License-Identifier: Apache-2.0

// Package iptables runs the iptables programs, and tells without them whether they have anything to do.
//
// Chains of iptables-nft are chains of nftables, which are asked for by name. Those of iptables-legacy can only be seen by
// its programs, but /proc tells whether it has any tables at all.
package iptables
