// SPDX-License-Identifier: Apache-2.0

package main

// suite lists the packages whose tests run in the guest, as root, in this
// order. This is the one place to add one. A package that is not there, or has
// no tests, is left out with a word about it.
var suite = []string{
	"internal/kernel",
	"internal/cgroup",
	"internal/exits",
	"internal/rootfs",
	"internal/setup",
	"internal/launch",
	"test/e2e",
	"test/features",
	"test/vm/guest",
}
