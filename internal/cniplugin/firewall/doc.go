// SPDX-License-Identifier: Apache-2.0

// Package firewall is the CNI plugin "firewall": a pod's traffic is let through the host's firewall, and by an
// ingress policy kept from other bridges or from its own.
//
// Backend iptables: rules are read, and deleted by their handles, through netlink, and added by one iptables-restore for all
// rules of a family, so that they are what iptables makes. Chains, rules and their order are the reference plugin's. What the kernel
// announces while the program runs tells the handles; so neither ADD nor DEL reads the rules of other pods, but for the
// first of a daemon, and a DEL whose rules somebody else has made or deleted. A node whose iptables is not on nf_tables gets the program of this type instead.
//
// Backend firewalld: the pod's addresses are sources of a zone, over D-Bus.
//
// Documentation: https://www.cni.dev/plugins/current/meta/firewall/.
package firewall
