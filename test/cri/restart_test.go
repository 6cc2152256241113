// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/test/e2e"
)

// What a container prints that goes on, and ends, while no daemon runs is in its log.
func TestOutputOutlivesTheDaemon(t *testing.T) {
	sardineOnly(t)
	n := StartNode(t)
	n.Pull(Busybox)
	pod := n.RunPod()
	lines := func(count int, end string) string {
		return fmt.Sprintf("i=0; while [ $i -lt %d ]; do echo line $i; i=$((i+1)); [ $i = 100 ] && while [ ! -e /go ]; do sleep 0.02; done; done; %s", count, end)
	}
	const count = 2000
	ends := pod.Run("ends", lines(count, "exit 3"))
	stays := pod.Run("stays", lines(count, "echo last; "+Forever))
	begun := pod.Run("begun", "printf 'the start of a line'; while [ ! -e /go ]; do sleep 0.02; done; echo ' and its end'; exit 4")
	n.Eventually("they have begun", func() bool {
		return strings.Contains(pod.Log("ends"), "line 99\n") && strings.Contains(pod.Log("stays"), "line 99\n")
	})
	pids := []string{n.pidOf(ends), n.pidOf(begun), n.pidOf(stays)}
	n.Kill9()
	for _, pid := range pids {
		if err := os.WriteFile("/proc/"+pid+"/root/go", nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	n.Eventually("two have ended", func() bool { return !exists("/proc/"+pids[0]+"/exe") && !exists("/proc/"+pids[1]+"/exe") })
	n.Start()
	n.Restarted()
	for id, code := range map[string]int32{ends: 3, begun: 4} {
		if status := n.WaitExited(id); status.ExitCode != code {
			t.Errorf("exit code %d, want %d", status.ExitCode, code)
		}
	}
	n.Eventually("the last line is logged", func() bool { return strings.Contains(pod.Log("stays"), " last\n") })
	checkLines(t, pod.Log("ends"), count)
	checkLines(t, pod.Log("stays"), count)
	if log := pod.Log("begun"); strings.Count(log, "\n") != 1 || !strings.HasSuffix(log, " F the start of a line and its end\n") {
		t.Errorf("the log has %q", log)
	}
}

// exists tells whether a path leads somewhere: the program of a process that is a zombie does not.
func exists(path string) bool {
	_, err := os.Readlink(path)
	return err == nil
}

// A terminal and its log outlive daemons, and so does what a program on it waits for.
func TestTerminalOutlivesTheDaemon(t *testing.T) {
	sardineOnly(t)
	n := StartNode(t)
	n.Pull(Busybox)
	pod := n.RunPod()
	terminal := func(c *runtime.ContainerConfig) { c.Tty, c.Stdin = true, true }
	const count = 400
	id := pod.Run("c", fmt.Sprintf("i=0; while [ $i -lt %d ]; do echo line $i; i=$((i+1)); usleep 5000; done; read word; echo got $word; %s", count, Forever), terminal)
	ends := pod.Run("ends", fmt.Sprintf("i=0; while [ $i -lt %d ]; do echo line $i; i=$((i+1)); usleep 3000; done; exit 5", count), terminal)
	n.Eventually("something is logged", func() bool { return strings.Contains(pod.Log("c"), "line 5\r\n") })
	for range 4 {
		n.Kill9()
		time.Sleep(200 * time.Millisecond)
		n.Start()
		n.Restarted()
	}
	if status := n.WaitExited(ends); status.ExitCode != 5 {
		t.Errorf("exit code %d, want 5", status.ExitCode)
	}
	n.Eventually("the last line is logged", func() bool { return strings.Contains(pod.Log("c"), fmt.Sprintf("line %d\r\n", count-1)) })
	checkLines(t, pod.Log("c"), count)
	checkLines(t, pod.Log("ends"), count)
	typing := n.types(id)
	n.Eventually("the program has its input", func() bool {
		time.Sleep(200 * time.Millisecond) // what is typed before crictl has made its terminal raw is dropped
		_, _ = io.WriteString(typing, "fish\r")
		return strings.Contains(pod.Log("c"), "got fish\r\n")
	})
}

// types has crictl, on a terminal that script(1) makes, attach to a container. What is written is typed there.
func (n *Node) types(id string) io.Writer {
	n.t.Helper()
	crictl := n.CrictlCommand(n.t.Context(), "attach", "-i", "-t", id)
	cmd := exec.CommandContext(n.t.Context(), "script", "-qec", strings.Join(crictl.Args, " "), "/dev/null")
	input, err := cmd.StdinPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	wait, err := n.Place.Start(cmd)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { // it stays attached until then
		_ = cmd.Process.Kill()
		_ = wait()
		n.t.Logf("crictl attach: %q", &out)
	})
	return input
}

// Who is attached when the daemon is told to end sees the end of a connection, not that it broke.
func TestAttachedAtTheEndOfTheDaemon(t *testing.T) {
	sardineOnly(t)
	n := StartNode(t)
	n.Pull(Busybox)
	pod := n.RunPod()
	id := pod.Run("c", "while :; do echo hello; sleep 0.05; done")
	ctx, cancel := n.context()
	defer cancel()
	cmd := n.CrictlCommand(ctx, "attach", id)
	out, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, &stderr
	wait, err := n.Place.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	n.Eventually("it is attached", func() bool { info, err := out.Stat(); return err == nil && info.Size() > 0 })
	n.Stop()
	if err := wait(); err != nil {
		t.Errorf("crictl ended with %v: %s", err, &stderr)
	}
	n.Start()
	n.Restarted()
	seen := len(pod.Log("c"))
	n.Eventually("the log goes on", func() bool { return len(pod.Log("c")) > seen })
}

// Pods go on when the next daemon is configured in another way.
func TestConfigurationChanges(t *testing.T) {
	sardineOnly(t)
	const handler = `
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.extra]
runtime_type = "io.containerd.sardine.v1"
`
	n := StartNode(t, e2e.WithConfig(handler))
	n.Pull(Busybox)
	pod, extra := n.RunPod(), &Pod{Config: n.PodConfig(), node: n}
	ctx, cancel := n.context()
	defer cancel()
	answer, err := n.Runtime.RunPodSandbox(ctx, &runtime.RunPodSandboxRequest{Config: extra.Config, RuntimeHandler: "extra"})
	if err != nil {
		t.Fatal(err)
	}
	extra.ID = answer.PodSandboxId
	script := "printf '%0500d\n' 0; while [ ! -e /go ]; do sleep 0.02; done; printf '%0500d\n' 1; " + Forever
	one, two := pod.Run("c", script), extra.Run("c", script)
	waits := pod.Create(ContainerConfig("waits", Forever))
	ip := n.addressOf(pod)
	n.Eventually("the long lines are logged", func() bool { return strings.HasSuffix(pod.Log("c"), "0\n") && strings.HasSuffix(extra.Log("c"), "0\n") })
	n.Kill9()

	n.changeConfig("restrict_oom_score_adj = true", "restrict_oom_score_adj = true\nmax_container_log_line_size = 100")
	n.changeConfig(handler, `
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
SystemdCgroup = true
`)
	n.otherNetwork()
	n.Start()
	n.Restarted()
	for _, id := range []string{one, two} {
		if state := n.Status(id).State; state != runtime.ContainerState_CONTAINER_RUNNING {
			t.Errorf("the container is %v", state)
		}
		n.Exec(id, "touch", "/go")
	}
	if got := n.addressOf(pod); got != ip {
		t.Errorf("the address is %s, before %s", got, ip)
	}
	if _, err := n.Runtime.RunPodSandbox(ctx, &runtime.RunPodSandboxRequest{Config: n.PodConfig(), RuntimeHandler: "extra"}); err == nil {
		t.Error("a pod of the handler that is gone was made")
	}
	n.Eventually("the next line is logged in pieces", func() bool {
		return strings.HasSuffix(pod.Log("c"), "1\n") && strings.Count(pod.Log("c"), " P ") == 4 && strings.Count(extra.Log("c"), " P ") == 4
	})
	n.otherPodHas("10.99.")
	_ = waits // what was created is started by the cgroup driver of now, which may not be there: it is removed with its pod
	pod.Remove()
	extra.Remove()
	n.Eventually("the addresses of the old network are given back", func() bool { return len(n.Addresses()) == 0 })
}

// changeConfig replaces a part of the daemon's configuration.
func (n *Node) changeConfig(old, replacement string) {
	n.t.Helper()
	text, err := os.ReadFile(n.Config)
	if err != nil {
		n.t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		n.t.Fatalf("the configuration lacks %q", old)
	}
	if err := os.WriteFile(n.Config, []byte(strings.Replace(string(text), old, replacement, 1)), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

// otherNetwork puts another network in the place of the pods'.
func (n *Node) otherNetwork() {
	n.t.Helper()
	path := filepath.Join(filepath.Dir(n.Logs), "cni", "10-pods.conflist")
	text, err := os.ReadFile(path)
	if err != nil {
		n.t.Fatal(err)
	}
	other := strings.NewReplacer(`"name":"pods"`, `"name":"others"`, "cni0", "cni1", "10.88.", "10.99.").Replace(string(text))
	if err := os.WriteFile(path, []byte(other), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

// otherPodHas runs a pod without a container, whose address begins like this.
func (n *Node) otherPodHas(prefix string) {
	n.t.Helper()
	pod := n.RunPod(func(c *runtime.PodSandboxConfig) { c.Linux.CgroupParent = "tests.slice" })
	if got := n.addressOf(pod); !strings.HasPrefix(got, prefix) {
		n.t.Errorf("a new pod has address %s, want %s", got, prefix)
	}
	pod.Remove()
}
