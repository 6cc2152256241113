// SPDX-License-Identifier: Apache-2.0

package main

import "path/filepath"

// tests is a package whose tests run in the guest.
type tests struct {
	dir  string // from the repository's root
	skip string // what go test's -skip takes; no spaces
}

// suite lists the packages whose tests run in the guest, as root, in this
// order. This is the one place to add one. A package that is not there, or has
// no tests, is left out with a word about it.
var suite = []tests{
	{dir: "internal/kernel"},
	{dir: "internal/cgroup"},
	{dir: "internal/exits"},
	{dir: "internal/rootfs"},
	{dir: "internal/nsstore"},
	{dir: "internal/setup"},
	{dir: "internal/launch"},
	{dir: "test/vm/guest"},
	{dir: "test/features"},
	{dir: "test/e2e", skip: sameEverywhere},
	{dir: "test/cri", skip: slowPods},
}

// slowPods are the tests of pods that take long where the processor is emulated, and need no other kernel.
const slowPods = `TestCritest|TestCrictl|TestBadInput|TestHundredPods|TestPodsNeverWaitForADisk|TestStockHandler` +
	`|TestRemoveImageInUse|TestImagesByCRI|TestContainerdClients`

// sameEverywhere are the end-to-end tests to which kernel, cgroups and init system
// make no difference, and those of containerd's own shim. They run outside, ten
// times faster. The pattern with a slash comes last: go test stops at the first that
// may match, and this one may match a subtest of anything.
const sameEverywhere = `TestBothRuntimes|TestEventsAsContainerd|TestStockShims` +
	`|TestVersion|TestConfig|TestPlugins|TestNamespaces|TestContent|TestLeases|TestSnapshots|TestNativeSnapshotter` +
	`|TestPull|TestPush|TestImportExport|TestMetricsEndpoint|TestDebugSocket|TestNoTCPSocket|TestSockets` +
	`|/io\.containerd\.runc\.v2`

// choose returns the suite's entries of some directories, all without any. A
// directory that the suite does not know is taken as it is.
func choose(dirs []string) []tests {
	if len(dirs) == 0 {
		return suite
	}
	chosen := make([]tests, len(dirs))
	for i, dir := range dirs {
		chosen[i] = tests{dir: filepath.Clean(dir)}
		for _, known := range suite {
			if known.dir == chosen[i].dir {
				chosen[i] = known
			}
		}
	}
	return chosen
}
