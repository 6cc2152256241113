// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func testNever(t *testing.T, n *node) {
	p := n.run(t, `
restartPolicy: Never
containers:
- name: completes
  image: {{busybox}}
  command: ["true"]
- name: fails
  image: {{busybox}}
  command: [sh, -c, "exit 3"]
- name: eats
  image: {{busybox}}
  command: [payload, memory, "256"]
  resources: {limits: {memory: 32Mi}}
- name: killed
  image: {{busybox}}
  command: [sleep, 1d]
`)
	p.wait("killed runs", func(s *podState) bool { return s.container("killed").State.Running != nil })
	for _, pid := range p.containerPIDs("killed") {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	p.ended("Failed")
	for container, want := range map[string]termination{
		"completes": {Reason: "Completed", ExitCode: 0},
		"fails":     {Reason: "Error", ExitCode: 3},
		"eats":      {Reason: "OOMKilled", ExitCode: 137},
		"killed":    {Reason: "Error", ExitCode: 137},
	} {
		got := p.terminated(container)
		expect(t, "reason of "+container, got.Reason, want.Reason)
		expect(t, "exit code of "+container, got.ExitCode, want.ExitCode)
		if got.StartedAt.IsZero() || got.FinishedAt.Before(got.StartedAt) {
			t.Errorf("%s ran from %v to %v", container, got.StartedAt, got.FinishedAt)
		}
	}
	for _, c := range p.status().Status.Containers {
		expect(t, "restarts of "+c.Name, c.RestartCount, 0)
	}
}

func testOnFailure(t *testing.T, n *node) {
	p := n.run(t, `
restartPolicy: OnFailure
containers:
- name: completes
  image: {{busybox}}
  command: ["true"]
- name: fails-once
  image: {{busybox}}
  command: [sh, -c, "test -e /work/done && exit 0; touch /work/done; exit 3"]
  volumeMounts: [{name: work, mountPath: /work}]
volumes:
- name: work
  emptyDir: {}
`)
	s := p.ended("Succeeded")
	expect(t, "restarts of completes", s.container("completes").RestartCount, 0)
	expect(t, "restarts of fails-once", s.container("fails-once").RestartCount, 1)
	expect(t, "reason of fails-once", p.terminated("fails-once").Reason, "Completed")
}

func testAlways(t *testing.T, n *node) {
	p := n.run(t, `
restartPolicy: Always
containers:
- name: completes
  image: {{busybox}}
  command: [sh, -c, "until test -e /host/go; do sleep 0.1; done; rm /host/go"]
  volumeMounts: [{name: host, mountPath: /host}]
- name: stays
  image: {{busybox}}
  command: [sleep, 1d]
volumes:
- name: host
  hostPath: {path: "{{host}}"}
`)
	first := p.ready()
	p.writeHost("go", "")
	how := p.restarted("completes")
	expect(t, "reason", how.Reason, "Completed")
	expect(t, "exit code", how.ExitCode, 0)
	s := p.ready()
	expect(t, "restarts of completes", s.container("completes").RestartCount, 1)
	expect(t, "restarts of stays", s.container("stays").RestartCount, 0)
	expect(t, "stays is the same container", s.container("stays").ContainerID, first.container("stays").ContainerID)
	if s.container("completes").ContainerID == first.container("completes").ContainerID {
		t.Errorf("completes is the same container after its restart")
	}
}

func testNoProgram(t *testing.T, n *node) {
	p := n.run(t, `
restartPolicy: Never
containers:
- name: main
  image: {{busybox}}
  command: [no-such-program]
`)
	p.ended("Failed")
	how := p.terminated("main")
	// The kubelet passes on what the runtime says: containerd the first, others the second.
	if how.Reason != "StartError" && how.Reason != "ContainerCannotRun" {
		t.Errorf("the reason is %s", how.Reason)
	}
	if how.ExitCode != 127 && how.ExitCode != 128 {
		t.Errorf("the exit code is %d", how.ExitCode)
	}
	if !strings.Contains(how.Message, "no-such-program") {
		t.Errorf("the message does not name the program: %s", how.Message)
	}
}

func testNoImage(t *testing.T, n *node) {
	p := n.run(t, `
containers:
- name: main
  image: {{missing}}
- name: never
  image: {{missing}}
  imagePullPolicy: Never
`)
	waits := func(name string, reasons ...string) {
		p.wait(name+" waits for its image", func(s *podState) bool {
			waiting := s.container(name).State.Waiting
			return waiting != nil && strings.Contains(strings.Join(reasons, " "), waiting.Reason) && waiting.Reason != ""
		})
	}
	waits("main", "ErrImagePull", "ImagePullBackOff")
	waits("main", "ImagePullBackOff")
	waits("never", "ErrImageNeverPull")
}

// testImageConfig: what the pod does not say, the image does.
func testImageConfig(t *testing.T, n *node) {
	p := n.run(t, `
restartPolicy: Never
containers:
- name: default
  image: {{user}}
- name: args
  image: {{user}}
  args: ["id -un; pwd; exit 0"]
- name: command
  image: {{user}}
  command: [pwd]
  workingDir: /etc
`)
	p.ended("Failed")
	expect(t, "exit code of the image's own command", p.terminated("default").ExitCode, 9)
	expect(t, "what it says with arguments", p.logs("args"), "user\n/tmp\n")
	expect(t, "what it says with a command", p.logs("command"), "/etc\n")
}
