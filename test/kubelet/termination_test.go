// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"strings"
	"testing"
	"time"
)

// testGraceful: a pod that is removed gets its preStop hook, then SIGTERM, and
// ends in its own time. The hook may be an HTTP request too.
func testGraceful(t *testing.T, n *node) {
	p := n.run(t, `
terminationGracePeriodSeconds: 100
containers:
- name: exec
  image: {{busybox}}
  command: [sh, -c, "trap 'echo term >>/host/exec; sleep 1; echo end >>/host/exec; exit 0' TERM; while :; do sleep 0.1; done"]
  lifecycle: {preStop: {exec: {command: [sh, -c, "echo prestop >>/host/exec; sleep 1; echo prestopped >>/host/exec"]}}}
  volumeMounts: [{name: host, mountPath: /host}]
- name: http
  image: {{busybox}}
  command:
  - sh
  - -c
  - |
    trap 'exit 0' TERM
    mkdir -p /www/cgi-bin
    printf '#!/bin/sh\necho asked >>/host/http\nprintf "Content-Type: text/plain\\r\\n\\r\\n"\n' >/www/cgi-bin/stop
    chmod 755 /www/cgi-bin/stop
    httpd -p 8080 -h /www
    while :; do sleep 0.1; done
  lifecycle: {preStop: {httpGet: {port: 8080, path: /cgi-bin/stop}}}
  volumeMounts: [{name: host, mountPath: /host}]
volumes:
- name: host
  hostPath: {path: "{{host}}"}
`)
	p.ready()
	eventually(t, "the server answers", func() error {
		_, err := p.exec("http", "wget", "-q", "-O-", "http://127.0.0.1:8080/cgi-bin/stop")
		return err
	})
	before := p.hostFile("http")
	p.remove()
	expect(t, "what happened", p.hostFile("exec"), "prestop\nprestopped\nterm\nend\n")
	expect(t, "what the server was asked, by us and by the hook", p.hostFile("http"), before+"asked\n")
}

// testIgnored: who ignores SIGTERM is killed when its time is up, not earlier.
func testIgnored(t *testing.T, n *node) {
	const grace = 3 * time.Second
	p := n.run(t, `
terminationGracePeriodSeconds: 3
containers:
- name: main
  image: {{busybox}}
  command: [sh, -c, "trap '' TERM; echo ready; while :; do sleep 1; done"]
`)
	p.ready()
	p.says("main", "ready")
	pids := p.pids()
	began := time.Now()
	p.remove()
	if took := time.Since(began); took < grace {
		t.Errorf("gone after %v, not after %v", took, grace)
	}
	if len(pids) == 0 {
		t.Error("the pod had no process")
	}
}

// testChanged: another manifest of the same name is another pod.
func testChanged(t *testing.T, n *node) {
	const spec = `
containers:
- name: main
  image: {{busybox}}
  command: [sh, -c, "echo VERSION; exec sleep 1d"]
`
	p := n.run(t, strings.Replace(spec, "VERSION", "old", 1))
	old := p.ready()
	pids := p.pids()
	p.apply(strings.Replace(spec, "VERSION", "new", 1))
	p.wait("the new pod is ready", func(s *podState) bool {
		return s.Metadata.UID != old.Metadata.UID && s.condition("Ready")
	})
	p.says("main", "new")
	eventually(t, "the old processes have ended", func() error { return gone(pids) })
}

func testHooks(t *testing.T, n *node) {
	p := n.run(t, `
containers:
- name: main
  image: {{busybox}}
  command: [sleep, 1d]
  lifecycle: {postStart: {exec: {command: [sh, -c, "echo started >/tmp/started"]}}}
- name: fails
  image: {{busybox}}
  command: [sleep, 1d]
  lifecycle: {postStart: {exec: {command: [sh, -c, "exit 6"]}}}
`)
	p.wait("fails is started again", func(s *podState) bool { return s.container("fails").RestartCount > 0 })
	s := p.status()
	expect(t, "main runs", s.container("main").State.Running != nil, true)
	expect(t, "restarts of main", s.container("main").RestartCount, 0)
	expect(t, "what the hook wrote", p.sh("main", "cat /tmp/started"), "started")
}

// testMessage: what a container says at its end, in a file or in its log.
func testMessage(t *testing.T, n *node) {
	p := n.run(t, `
restartPolicy: Never
containers:
- name: file
  image: {{busybox}}
  command: [sh, -c, "echo out of the way; echo because >/dev/termination-log"]
- name: path
  image: {{busybox}}
  command: [sh, -c, "echo elsewhere >/tmp/why; exit 2"]
  terminationMessagePath: /tmp/why
- name: log
  image: {{busybox}}
  command: [sh, -c, "echo last words; exit 2"]
  terminationMessagePolicy: FallbackToLogsOnError
- name: no-log
  image: {{busybox}}
  command: [sh, -c, "echo all is well"]
  terminationMessagePolicy: FallbackToLogsOnError
`)
	p.ended("Failed")
	for name, want := range map[string]string{
		"file": "because\n", "path": "elsewhere\n", "log": "last words\n", "no-log": "",
	} {
		expect(t, "message of "+name, p.terminated(name).Message, want)
	}
}
