// SPDX-License-Identifier: Apache-2.0

// Package netif reaches the interfaces, addresses, routes and sysctls of network namespaces.
//
// Only vishvananda/netlink speaks to the kernel. A Namespace is a netlink socket that was made inside; what
// has to be done by a thread inside, writing sysctls above all, is done by one that is thrown away.
package netif
