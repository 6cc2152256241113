// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"fmt"
	"testing"
)

// healthPod has three containers, which answer a probe each in their own way
// until something is done in them. %s is the kind of the probe, and what else
// it needs.
const healthPod = `
containers:
- name: exec
  image: {{busybox}}
  command: [sh, -c, "touch /tmp/well; exec sleep 1d"]
  %[1]s:
    exec: {command: [cat, /tmp/well]}
    %[2]s
- name: http
  image: {{busybox}}
  command: [sh, -c, "mkdir /www; touch /www/well; exec httpd -f -p 8080 -h /www"]
  %[1]s:
    httpGet: {port: 8080, path: /well}
    %[2]s
- name: tcp
  image: {{busybox}}
  command: [sh, -c, "httpd -p 9000 -h /tmp; exec sleep 1d"]
  %[1]s:
    tcpSocket: {port: 9000}
    %[2]s
`

// patientLiveness does not take a container for ill that is slow to begin, nine seconds on a busy node: it would be started once more.
const patientLiveness = "initialDelaySeconds: 5\n    periodSeconds: 1\n    failureThreshold: 5\n    timeoutSeconds: 10"

// begun is a command that waits until the shell of a container is through, which
// a container that is running may not be.
const begun = "while grep -qx sh /proc/1/comm; do sleep 0.1; done; "

// falling ill and getting well again, by container.
var (
	illness  = map[string]string{"exec": "rm /tmp/well", "http": "rm /www/well", "tcp": "killall httpd"}
	recovery = map[string]string{"exec": "touch /tmp/well", "http": "touch /www/well", "tcp": "httpd -p 9000 -h /tmp"}
)

func testLiveness(t *testing.T, n *node) {
	p := n.run(t, fmt.Sprintf(healthPod, "livenessProbe", patientLiveness))
	p.ready()
	for container, command := range illness {
		p.sh(container, begun+command)
	}
	for container := range illness {
		// sleep and httpd ignore SIGTERM as the first process of their namespace.
		how := p.restarted(container)
		expect(t, container+"'s exit code", how.ExitCode, 137)
		expect(t, container+"'s reason", how.Reason, "Error")
	}
	s := p.ready()
	for container := range illness {
		expect(t, "restarts of "+container, s.container(container).RestartCount, 1)
	}
}

func testReadiness(t *testing.T, n *node) {
	p := n.run(t, fmt.Sprintf(healthPod, "readinessProbe", "periodSeconds: 1\n    failureThreshold: 1\n    timeoutSeconds: 10"))
	p.ready()
	for container, command := range illness {
		p.sh(container, command)
	}
	p.wait("no container is ready", func(s *podState) bool {
		ready := s.condition("Ready")
		for container := range illness {
			ready = ready || s.container(container).Ready
		}
		return !ready
	})
	for container, command := range recovery {
		p.sh(container, command)
	}
	s := p.ready()
	for container := range illness {
		expect(t, "restarts of "+container, s.container(container).RestartCount, 0)
	}
}

// testStartup: while a startup probe fails no other probe is made, and if it
// does so for too long the container is started again.
func testStartup(t *testing.T, n *node) {
	p := n.run(t, `
containers:
- name: slow
  image: {{busybox}}
  command: [sleep, 1d]
  startupProbe:
    exec: {command: [cat, /tmp/started]}
    periodSeconds: 1
    failureThreshold: 1000
  livenessProbe:
    exec: {command: [cat, /tmp/started]}
    periodSeconds: 1
    failureThreshold: 1
    timeoutSeconds: 20
- name: never
  image: {{busybox}}
  command: [sleep, 1d]
  startupProbe:
    exec: {command: ["false"]}
    periodSeconds: 1
    failureThreshold: 2
    timeoutSeconds: 20
`)
	p.restarted("never")
	s := p.status()
	if started := s.container("slow").Started; started == nil || *started {
		t.Errorf("slow has started: %s", s)
	}
	expect(t, "restarts of slow", s.container("slow").RestartCount, 0)
	p.sh("slow", "touch /tmp/started")
	s = p.wait("slow has started", func(s *podState) bool { return s.container("slow").Ready })
	expect(t, "restarts of slow", s.container("slow").RestartCount, 0)
}
