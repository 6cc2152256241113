// SPDX-License-Identifier: Apache-2.0

// Package plan is what sardine-init has to do between clone and exec: the Plan, in
// the kernel's terms (flags, masks, numbers, descriptors), and its encoding on the
// control socket. Every decision is made before the Plan is sent; nothing in it
// refers to an OCI type.
package plan
