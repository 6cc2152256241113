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
	{dir: "internal/fdstore", skip: withoutSystemd},
	{dir: "internal/rootfs"},
	{dir: "internal/nsstore"},
	{dir: "internal/setup"},
	{dir: "internal/launch", skip: sameLaunch},
	{dir: "test/vm/guest"},
	{dir: "test/systemd"},
	{dir: "test/features", skip: sameFeatures},
	{dir: "test/e2e", skip: sameEverywhere},
	{dir: "test/cri", skip: slowPods},
}

// withoutSystemd are the tests of the holder of descriptors, which there is only where systemd does not hold them.
const withoutSystemd = `Holder|TestKilledDaemonLosesNothing|TestSocketRemoved|TestDirectoryRemoved|TestStrangers|TestOtherVersion|TestNoInit`

// sameLaunch is what launch does with processes of its own, or with its own errors, and what kernels have had for ten years.
const sameLaunch = `TestProcessAttributes|TestBirths|TestLongBirth|TestBirthIsGivenUp|TestFailuresAreNamed|TestResume|TestFinish|TestLaunchesAtTheSameTime`

// sameFeatures are those of the runtime spec that are of the daemon and sardine-init alone, and what they refuse.
const sameFeatures = `TestFailingHooks|TestHooks|TestHookFindsRootInMountNamespace|TestBadNamespaces|TestBadMounts|TestManyMounts|TestProgramErrors` +
	`|TestRoot|TestPropagation|TestProcess|TestCapabilities|TestScoreThatCannotBeLowered|TestNamespacesByPath|TestFullDisk|TestSeccompAgent`

// slowPods are the tests of pods that take long where the processor is emulated, and need no other kernel.
const slowPods = `TestCritest|TestCrictl|TestBadInput|TestHundredPods|TestPodsNeverWaitForADisk|TestStockHandler` +
	`|TestRemoveImageInUse|TestImagesByCRI|TestContainerdClients|TestReopen|TestRecoveryTime|TestConfigurationChanges|TestTop` +
	`|TestProbes|TestAttachedAtTheEnd` +
	`|TestOutputOutlives|TestTerminalOutlives` // test/systemd has them with systemd's store

// sameEverywhere are the end-to-end tests to which kernel, cgroups and init system
// make no difference, and those of containerd's own shim. They run outside, ten
// times faster. The pattern with a slash comes last: go test stops at the first that
// may match, and this one may match a subtest of anything.
const sameEverywhere = `TestBothRuntimes|TestStockShims` +
	`|TestVersion|TestConfig|TestPlugins|TestNamespaces|TestContent|TestLeases|TestSnapshots|TestNativeSnapshotter` +
	`|TestPull|TestPush|TestImportExport|TestManyLayers|TestWhiteout|TestMetrics|TestDebugSocket|TestNoTCPSocket|TestSockets` +
	`|TestForeground|TestBootTime|TestIdleMemory|TestRun|TestCreateErrors|TestTaskErrors|TestDetached|TestEvents|TestOwnOutput` +
	`|TestExecProcess|TestClosedInput|TestUnknownRuntime|TestRestoreIsRefused` +
	`|TestLogFile|TestLogProgram|TestBadLogURI|TestManyExecs|TestCrashLoop|TestExitsWithoutRecorder` +
	`|TestKill$|TestExec$|TestProcesses|TestRootless|TestTerminal$` +
	`|TestTerminalsSurvive|TestInputSurvives|TestClosedInputSurvives|TestCreatedSurvives` + // test/systemd has them with systemd's store
	`|TestSurvival|TestDaemonCrash|TestExitAfterRestart|TestRestart$` + // and these, as test/vm/guest has
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
