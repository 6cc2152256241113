// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"fmt"
	"strings"
	"testing"
)

// statusOf is a command that prints a field of its own process's status.
func statusOf(field string) string {
	return fmt.Sprintf("awk '/^%s:/ {print $2}' /proc/self/status", field)
}

// restricted is a pod whose containers may do little, each in its own way.
const restricted = `
securityContext:
  runAsUser: 1234
  runAsGroup: 2345
  supplementalGroups: [3456]
  fsGroup: 4567
  seccompProfile: {type: RuntimeDefault}
containers:
- name: user
  image: {{busybox}}
  command: [sleep, 1d]
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities: {drop: [ALL]}
  volumeMounts: [{name: work, mountPath: /work}]
- name: root
  image: {{busybox}}
  command: [sleep, 1d]
  securityContext:
    runAsUser: 0
    capabilities: {drop: [ALL], add: [NET_BIND_SERVICE, CHOWN]}
- name: unconfined
  image: {{busybox}}
  command: [sleep, 1d]
  securityContext:
    seccompProfile: {type: Unconfined}
- name: refused
  image: {{busybox}}
  command: [sleep, 1d]
  securityContext: {runAsNonRoot: true, runAsUser: 0}
volumes:
- name: work
  emptyDir: {}
`

func testSecurity(t *testing.T, n *node) {
	p := n.run(t, restricted)
	s := p.wait("refused is refused, the others run", func(s *podState) bool {
		waiting := s.container("refused").State.Waiting
		return waiting != nil && waiting.Reason == "CreateContainerConfigError" &&
			s.container("user").Ready && s.container("root").Ready && s.container("unconfined").Ready
	})
	expect(t, "quality of service", s.Status.QOSClass, "BestEffort")
	expect(t, "user and group", p.sh("user", "id -u; id -g; id -G | tr ' ' '\n' | sort | xargs"), "1234\n2345\n2345 3456 4567")
	expect(t, "no new privileges", p.sh("user", statusOf("NoNewPrivs")), "1")
	expect(t, "capabilities of a user", p.sh("user", statusOf("CapEff")), "0000000000000000")
	if _, err := p.exec("user", "touch", "/tmp/file"); err == nil || !strings.Contains(err.Error(), "Read-only") {
		t.Errorf("the root file system is written to: %v", err)
	}
	p.sh("user", "touch /work/file")
	// CAP_CHOWN is 0, CAP_NET_BIND_SERVICE is 10.
	expect(t, "capabilities of root", p.sh("root", statusOf("CapEff")), "0000000000000401")
	expect(t, "root may make new privileges", p.sh("root", statusOf("NoNewPrivs")), "0")
	for container, mode := range map[string]string{"user": "2", "root": "2", "unconfined": "0"} {
		expect(t, "seccomp mode of "+container, p.sh(container, statusOf("Seccomp")), mode)
	}
	if _, err := p.exec("root", "sh", "-c", "echo x >/proc/sys/kernel/hostname"); err == nil {
		t.Error("/proc/sys is written to")
	}
	// Masked by an empty file, on kernels that have it.
	expect(t, "what can be read of kernel keys", p.sh("root", "! test -e /proc/keys || wc -c </proc/keys"), p.sh("root", "! test -e /proc/keys || echo 0"))
}

func testPrivileged(t *testing.T, n *node) {
	p := n.run(t, `
containers:
- name: all
  image: {{busybox}}
  command: [sleep, 1d]
  securityContext: {privileged: true}
- name: few
  image: {{busybox}}
  command: [sleep, 1d]
`)
	p.ready()
	expect(t, "seccomp mode", p.sh("all", statusOf("Seccomp")), "0")
	if all, few := p.sh("all", statusOf("CapEff")), p.sh("few", statusOf("CapEff")); all <= few {
		t.Errorf("privileged has capabilities %s, others %s", all, few)
	}
	p.sh("all", "test -c /dev/kmsg && mount -t tmpfs x /tmp && umount /tmp")
	if _, err := p.exec("few", "mount", "-t", "tmpfs", "x", "/tmp"); err == nil {
		t.Error("an ordinary container mounts")
	}
	if _, err := p.exec("few", "test", "-e", "/dev/kmsg"); err == nil {
		t.Error("an ordinary container has the node's devices")
	}
}
