// SPDX-License-Identifier: Apache-2.0

package kubelet

import "testing"

// podTest is a subtest with pods of its own, beside others.
type podTest struct {
	name string
	run  func(*testing.T, *node)
}

// podTests are what a kubelet does with pods while nothing else happens to the
// node.
var podTests = []podTest{
	{"liveness", testLiveness},
	{"readiness", testReadiness},
	{"startup", testStartup},
	{"daemon-liveness", testDaemonLiveness},
	{"daemon-readiness", testDaemonReadiness},
	{"daemon-startup", testDaemonStartup},
	{"init", testInit},
	{"init-fails", testInitFails},
	{"sidecar", testSidecar},
	{"never", testNever},
	{"on-failure", testOnFailure},
	{"always", testAlways},
	{"no-program", testNoProgram},
	{"no-image", testNoImage},
	{"image-config", testImageConfig},
	{"volumes", testVolumes},
	{"host-path", testHostPath},
	{"image-volume", testImageVolume},
	{"prepull", testPrepull},
	{"downward", testDownward},
	{"graceful", testGraceful},
	{"ignored", testIgnored},
	{"changed", testChanged},
	{"hooks", testHooks},
	{"message", testMessage},
	{"rotation", testRotation},
	{"logs", testLogs},
	{"host-namespaces", testHostNamespaces},
	{"shared-pid", testSharedPID},
	{"user-namespace", testUserNamespace},
	{"network", testNetwork},
	{"security", testSecurity},
	{"privileged", testPrivileged},
	{"resources", testResources},
	{"exec", testExec},
	{"attach", testAttach},
	{"port-forward", testPortForward},
	{"stats", testStats},
}

// TestKubelet runs everything on one node: first the pods at the same time,
// then, one after the other, what happens to the node.
func TestKubelet(t *testing.T) {
	n := startNode(t)
	t.Run("pods", func(t *testing.T) { n.runAll(t, podTests) })
	t.Run("stale", func(t *testing.T) { testStale(t, n) })
	t.Run("eviction", func(t *testing.T) { testEviction(t, n) })
	t.Run("restart-kubelet", func(t *testing.T) { testRestartKubelet(t, n) })
	t.Run("restart-daemon", func(t *testing.T) { testRestartDaemon(t, n) })
	t.Run("evented", func(t *testing.T) { testEvented(t, n) })
}

func (n *node) runAll(t *testing.T, tests []podTest) {
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, n)
		})
	}
}
