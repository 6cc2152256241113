// SPDX-License-Identifier: Apache-2.0

// Package bridge is the CNI plugin of that name: a pod is attached to a bridge of the host by a veth pair.
//
// Configuration, result and what it leaves in the kernel are the reference plugin's (version 1.9). The order is another one,
// because some of what the kernel does on the way takes time for each port of the bridge:
//
//   - The pair is made by one request and configured while the host's end is down. The pod's end has no carrier then, so
//     nothing it sends on coming up is flooded to all ports.
//   - The host's end joins the bridge and comes up at the end, in one request: the bridge reconsiders its ports once.
//   - The pod's hardware address is made of its IP address, as that of the same address's last owner was, so that
//     neighbour caches are right without an announcement to everybody. Where it is not, it is announced.
//   - DEL silences the port and leaves the pair to the kernel, which deletes it with the pod's namespace.
package bridge
