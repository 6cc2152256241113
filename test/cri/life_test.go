// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"os"
	"strings"
	"testing"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Log rotation: the file is renamed, the runtime told, and every line is in one
// of the two, once and in order.
func TestReopenContainerLog(t *testing.T) {
	n := StartNode(t)
	n.Pull(Busybox)
	pod := n.RunPod()
	id := pod.Run("c", "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; echo last; "+Forever)
	n.Eventually("something is logged", func() bool { return strings.Contains(pod.Log("c"), "line 0\n") })
	old := pod.LogFile("c") + ".old"
	if err := os.Rename(pod.LogFile("c"), old); err != nil {
		t.Fatal(err)
	}
	n.reopen(id)
	n.Eventually("the last line is logged", func() bool {
		rotated, _ := os.ReadFile(old)
		return strings.Contains(string(rotated)+pod.Log("c"), " last\n")
	})
	rotated, err := os.ReadFile(old)
	if err != nil {
		t.Fatal(err)
	}
	checkLines(t, string(rotated)+pod.Log("c"), 2000)
	n.StopContainer(id, 10)
	if _, err := os.Stat(pod.LogFile("c")); err != nil {
		t.Errorf("no new log file: %v", err)
	}
}

func (n *Node) reopen(id string) {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	if _, err := n.Runtime.ReopenContainerLog(ctx, &runtime.ReopenContainerLogRequest{ContainerId: id}); err != nil {
		n.t.Fatalf("reopen the log: %v", err)
	}
}

// checkLines wants "line 0" to "line N-1" in CRI's format, in order.
func checkLines(t testing.TB, log string, count int) {
	t.Helper()
	next := 0
	for line := range strings.Lines(log) {
		fields := strings.Fields(line)
		if len(fields) != 5 || fields[3] != "line" {
			continue
		}
		if fields[1] != "stdout" || fields[2] != "F" {
			t.Fatalf("line %q is not of stdout, or not full", line)
		}
		if fields[4] != itoa(next) {
			t.Fatalf("line %q, expected number %d", line, next)
		}
		next++
	}
	if next != count {
		t.Errorf("%d lines, want %d", next, count)
	}
}

func TestOOMKilled(t *testing.T) {
	n := StartNode(t)
	n.Pull(Payload)
	pod := n.RunPod()
	id := pod.Run("c", "", func(c *runtime.ContainerConfig) {
		c.Image.Image = Payload
		c.Command, c.Args = nil, []string{"memory", "200"}
		c.Linux.Resources = &runtime.LinuxContainerResources{MemoryLimitInBytes: 32 << 20, MemorySwapLimitInBytes: 32 << 20}
	})
	status := n.WaitExited(id)
	if status.Reason != "OOMKilled" || status.ExitCode != 137 {
		t.Errorf("reason %q, exit code %d, want OOMKilled and 137", status.Reason, status.ExitCode)
	}
}

func TestExitReasons(t *testing.T) {
	n := StartNode(t)
	n.Pull(Busybox)
	pod := n.RunPod()
	for _, c := range []struct {
		name, command, reason string
		code                  int32
	}{
		{"ends", "true", "Completed", 0},
		{"fails", "exit 3", "Error", 3},
	} {
		id := pod.Run(c.name, c.command)
		status := n.WaitExited(id)
		if status.Reason != c.reason || status.ExitCode != c.code {
			t.Errorf("%s: reason %q, exit code %d, want %q and %d", c.name, status.Reason, status.ExitCode, c.reason, c.code)
		}
		// Stock containerd may note the start after the exit.
		if status.StartedAt < status.CreatedAt || status.FinishedAt < status.StartedAt && program() == "sardined" {
			t.Errorf("%s: created %d, started %d, finished %d", c.name, status.CreatedAt, status.StartedAt, status.FinishedAt)
		}
	}
}

// The daemon is killed while pods run. None of them notices, and everything
// goes on with the next daemon: lists, exec, logs, the status of what ended
// meanwhile.
func TestPodsOutliveTheDaemon(t *testing.T) {
	sardineOnly(t)
	n := StartNode(t)
	n.Pull(Busybox)
	pod := n.RunPod()
	stays := pod.Run("stays", "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.05; done")
	ends := pod.Run("ends", "while [ ! -e /tmp/"+n.Namespace+"-end ]; do sleep 0.05; done; echo bye; exit 7")
	waits := pod.Create(ContainerConfig("waits", Forever))
	n.Eventually("something is logged", func() bool { return strings.Contains(pod.Log("stays"), "line 3\n") })
	pid := n.pidOf(stays)
	n.Exec(ends, "sh", "-c", "(sleep 0.5; touch /tmp/"+n.Namespace+"-end) >/dev/null 2>&1 &")
	n.Kill9()
	n.Eventually("the other program ends", func() bool { return len(pidsWith(n.Namespace+"-end")) == 0 })
	n.Start()
	n.Restarted()
	if got := n.pidOf(stays); got != pid || n.Status(stays).State != runtime.ContainerState_CONTAINER_RUNNING {
		t.Errorf("the container is %v, process %s, before %s", n.Status(stays).State, got, pid)
	}
	if status := n.WaitExited(ends); status.ExitCode != 7 || status.Reason != "Error" {
		t.Errorf("what ended meanwhile has exit code %d, reason %q", status.ExitCode, status.Reason)
	}
	n.goesOn(pod, stays, waits)
}

func (n *Node) goesOn(pod *Pod, stays, waits string) {
	n.t.Helper()
	if got := n.Exec(stays, "echo", "still here"); got != "still here" {
		n.t.Errorf("exec printed %q", got)
	}
	seen := strings.Count(pod.Log("stays"), "\n")
	n.Eventually("the log goes on", func() bool { return strings.Count(pod.Log("stays"), "\n") > seen+5 })
	n.StartContainer(waits)
	again := pod.Run("again", Forever)
	for _, id := range []string{stays, waits, again} {
		n.StopContainer(id, 0)
	}
	log := pod.Log("stays")
	checkLines(n.t, log[:strings.LastIndex(log, "\n")+1], strings.Count(log, " line "))
	pod.Remove()
}
