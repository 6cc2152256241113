// SPDX-License-Identifier: Apache-2.0

package kubelet

import "testing"

func testInit(t *testing.T, n *node) {
	p := n.run(t, `
initContainers:
- name: first
  image: {{busybox}}
  command: [sh, -c, "echo first >>/work/order; test $(wc -l </work/order) = 3"]
  volumeMounts: [{name: work, mountPath: /work}]
- name: second
  image: {{busybox}}
  command: [sh, -c, "echo second >>/work/order"]
  volumeMounts: [{name: work, mountPath: /work}]
containers:
- name: main
  image: {{busybox}}
  command: [sh, -c, "echo main >>/work/order; exec sleep 1d"]
  volumeMounts: [{name: work, mountPath: /work}]
volumes:
- name: work
  emptyDir: {}
`)
	s := p.ready()
	p.sh("main", "until grep main /work/order; do sleep 0.1; done") // it runs, and may not have come to that
	expect(t, "the order", p.sh("main", "cat /work/order | xargs"), "first first first second main")
	expect(t, "restarts of first", s.container("first").RestartCount, 2)
	for _, name := range []string{"first", "second"} {
		expect(t, "reason of "+name, p.terminated(name).Reason, "Completed")
	}
	expect(t, "the pod is initialized", s.condition("Initialized"), true)
}

// testInitFails: a pod that is not to be restarted fails with its init container.
func testInitFails(t *testing.T, n *node) {
	p := n.run(t, `
restartPolicy: Never
initContainers:
- name: fails
  image: {{busybox}}
  command: [sh, -c, "exit 4"]
containers:
- name: main
  image: {{busybox}}
  command: [sleep, 1d]
`)
	s := p.ended("Failed")
	expect(t, "exit code of the init container", p.terminated("fails").ExitCode, 4)
	if waiting := s.container("main").State.Waiting; waiting == nil || waiting.Reason != "PodInitializing" {
		t.Errorf("main does not wait: %s", s)
	}
}

// testSidecar: a sidecar starts before the other containers, is ready before
// they start, and ends after them.
func testSidecar(t *testing.T, n *node) {
	p := n.run(t, `
restartPolicy: Never
terminationGracePeriodSeconds: 60
initContainers:
- name: sidecar
  image: {{busybox}}
  restartPolicy: Always
  command: [sh, -c, "trap 'echo sidecar ends >>/host/order; exit 0' TERM; echo sidecar starts >>/host/order; touch /tmp/up; while :; do sleep 0.1; done"]
  startupProbe:
    exec: {command: [cat, /tmp/up]}
    periodSeconds: 1
    failureThreshold: 100
  volumeMounts: [{name: host, mountPath: /host}]
- name: between
  image: {{busybox}}
  command: [sh, -c, "echo between >>/host/order"]
  volumeMounts: [{name: host, mountPath: /host}]
containers:
- name: main
  image: {{busybox}}
  command: [sh, -c, "echo main starts >>/host/order; until test -e /host/go; do sleep 0.1; done; echo main ends >>/host/order"]
  volumeMounts: [{name: host, mountPath: /host}]
volumes:
- name: host
  hostPath: {path: "{{host}}"}
`)
	p.wait("all run", func(s *podState) bool {
		return s.container("sidecar").State.Running != nil && s.container("main").State.Running != nil
	})
	p.writeHost("go", "")
	s := p.ended("Succeeded")
	expect(t, "the order", p.hostFile("order"), "sidecar starts\nbetween\nmain starts\nmain ends\nsidecar ends\n")
	expect(t, "exit code of the sidecar", p.terminated("sidecar").ExitCode, 0)
	expect(t, "restarts of the sidecar", s.container("sidecar").RestartCount, 0)
}
