// SPDX-License-Identifier: Apache-2.0

//go:build vm

package systemd

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/testnode"
	"github.com/sardine-run/sardine/test/e2e"
)

// pod is one on the node's network: this machine has no other.
type pod struct {
	*unit
	id     string
	config *cri.PodSandboxConfig
	image  string
}

// pull brings busybox into the daemon.
func (u *unit) pull() string {
	u.t.Helper()
	ref := e2e.StartRegistry(u.t).Push("busybox:1", e2e.Busybox(u.t))
	if _, err := u.images.PullImage(u.ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: ref}}); err != nil {
		u.t.Fatalf("pull %s: %v", ref, err)
	}
	return ref
}

func (u *unit) runPod(image string) *pod {
	u.t.Helper()
	p := &pod{unit: u, image: image, config: &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: "pod", Namespace: "tests", Uid: "uid"},
		LogDirectory: home + "/logs",
		Linux: &cri.LinuxPodSandboxConfig{
			CgroupParent: "/" + namespace,
			SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: &cri.NamespaceOption{
				Network: cri.NamespaceMode_NODE, Pid: cri.NamespaceMode_CONTAINER,
			}},
		},
	}}
	if err := os.MkdirAll(p.config.LogDirectory, 0o755); err != nil {
		u.t.Fatal(err)
	}
	answer, err := u.runtime.RunPodSandbox(u.ctx, &cri.RunPodSandboxRequest{Config: p.config})
	if err != nil {
		u.t.Fatalf("run a pod: %v", err)
	}
	p.id = answer.PodSandboxId
	u.t.Cleanup(p.remove)
	return p
}

func (p *pod) remove() {
	if p.conn == nil {
		return
	}
	_, errStop := p.runtime.StopPodSandbox(p.ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.id})
	_, errRemove := p.runtime.RemovePodSandbox(p.ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.id})
	if errStop != nil || errRemove != nil {
		p.t.Errorf("remove the pod: %v, %v", errStop, errRemove)
	}
}

// member is a container of a pod.
type member struct {
	*pod
	name, id string
	pid      int
}

// run starts a shell script in a container.
func (p *pod) run(name, script string, change ...func(*cri.ContainerConfig)) *member {
	p.t.Helper()
	config := &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: name}, Image: &cri.ImageSpec{Image: p.image},
		Command: []string{"/bin/sh", "-c", script}, LogPath: name + ".log", Linux: &cri.LinuxContainerConfig{},
	}
	for _, f := range change {
		f(config)
	}
	answer, err := p.runtime.CreateContainer(p.ctx, &cri.CreateContainerRequest{PodSandboxId: p.id, Config: config, SandboxConfig: p.config})
	if err != nil {
		p.t.Fatalf("create container %s: %v", name, err)
	}
	m := &member{pod: p, name: name, id: answer.ContainerId}
	if _, err := p.runtime.StartContainer(p.ctx, &cri.StartContainerRequest{ContainerId: m.id}); err != nil {
		p.t.Fatalf("start container %s: %v", name, err)
	}
	m.pid = m.daemonsPid()
	return m
}

func (m *member) status() *cri.ContainerStatus {
	m.t.Helper()
	answer, err := m.runtime.ContainerStatus(m.ctx, &cri.ContainerStatusRequest{ContainerId: m.id, Verbose: true})
	if err != nil {
		m.t.Fatalf("status of %s: %v", m.name, err)
	}
	return answer.Status
}

// daemonsPid is what the daemon says of the container's process.
func (m *member) daemonsPid() int {
	m.t.Helper()
	answer, err := m.runtime.ContainerStatus(m.ctx, &cri.ContainerStatusRequest{ContainerId: m.id, Verbose: true})
	if err != nil {
		m.t.Fatalf("status of %s: %v", m.name, err)
	}
	_, rest, _ := strings.Cut(answer.Info["info"], `"pid":`)
	var pid int
	if _, err := fmt.Sscan(strings.TrimLeft(rest, " "), &pid); err != nil {
		m.t.Fatalf("no pid of %s in %s", m.name, answer.Info["info"])
	}
	return pid
}

// wantUntouched expects the container's process to run, the same as at first.
func (m *member) wantUntouched() {
	m.t.Helper()
	if status := m.status(); status.State != cri.ContainerState_CONTAINER_RUNNING || m.daemonsPid() != m.pid || !testnode.Alive(m.pid) {
		m.t.Errorf("%s is %v with pid %d, was started as %d", m.name, status.State, m.daemonsPid(), m.pid)
	}
}

// wantExit waits for the container's end.
func (m *member) wantExit(code int32) {
	m.t.Helper()
	m.eventually(m.name+" exits", func() bool { return m.status().State == cri.ContainerState_CONTAINER_EXITED })
	if status := m.status(); status.ExitCode != code {
		m.t.Errorf("%s exited with %d, %s: %s; want %d", m.name, status.ExitCode, status.Reason, status.Message, code)
	}
}

func (m *member) remove() {
	m.t.Helper()
	if _, err := m.runtime.RemoveContainer(m.ctx, &cri.RemoveContainerRequest{ContainerId: m.id}); err != nil {
		m.t.Errorf("remove %s: %v", m.name, err)
	}
}

func (m *member) stop() {
	m.t.Helper()
	if _, err := m.runtime.StopContainer(m.ctx, &cri.StopContainerRequest{ContainerId: m.id, Timeout: 60}); err != nil {
		m.t.Errorf("stop %s: %v", m.name, err)
	}
}

// logged returns the text in a container's log, without the head of each entry. An entry whose end is missing is being
// written: a write across pages of the file is seen page by page.
func (m *member) logged() string {
	m.t.Helper()
	file, err := os.ReadFile(filepath.Join(m.config.LogDirectory, m.name+".log"))
	if err != nil {
		m.t.Fatal(err)
	}
	return entries(m.t, string(file[:bytes.LastIndexByte(file, '\n')+1]))
}

// entries reads a log in CRI's format: time, stream, P or F for a part or the end of a line, text.
func entries(t testing.TB, log string) string {
	t.Helper()
	var text strings.Builder
	for entry := range strings.Lines(log) {
		fields := strings.SplitN(entry, " ", 4)
		if len(fields) != 4 {
			t.Fatalf("log entry %q", entry)
		}
		line := fields[3]
		if fields[2] == "P" {
			line = strings.TrimSuffix(line, "\n")
		}
		text.WriteString(line)
	}
	return text.String()
}

// count is how often word is in the log.
func (m *member) count(word string) int { return strings.Count(m.logged(), word) }

// wantLines expects word 1, word 2, and so on, none missing, twice or out of order, and returns how many there are.
func (m *member) wantLines(word string) int {
	m.t.Helper()
	n := 0
	for line := range strings.Lines(m.logged()) {
		if !strings.HasPrefix(line, word+" ") {
			continue
		}
		n++
		if want := fmt.Sprintf("%s %d\n", word, n); line != want {
			m.t.Fatalf("log of %s: %q where %q should be", m.name, line, want)
		}
	}
	return n
}
