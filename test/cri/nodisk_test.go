// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sardine-run/sardine/internal/testnode"
)

// diskPods is how many pods live under the eyes of the tracer.
const diskPods = 20

// No step of a pod's life waits for a disk.
func TestPodsNeverWaitForADisk(t *testing.T) {
	sardineOnly(t)
	n := StartNode(t)
	n.Pull(Busybox)
	n.collectGarbage()
	trace := n.traceSyncs()
	seen := quiet(n, trace)
	for i := range diskPods {
		pod := n.RunPod()
		id := pod.Run("c", Forever)
		n.Exec(id, "true")
		if i%2 == 0 { // the others are stopped with their pod
			n.StopContainer(id, 10)
		}
		pod.Remove()
		if calls := trace(); len(calls) > seen {
			t.Errorf("in the life of pod %d of %d:\n%s", i+1, diskPods, strings.Join(calls[seen:], "\n"))
			seen = len(calls)
		}
	}
	// A pull does wait: the tracer would have seen it.
	n.Pull(Nginx)
	if len(trace()) == seen {
		t.Error("the tracer saw no call while an image was pulled: it does not work")
	}
}

// collectGarbage has what the pull has left collected now. By itself the collector comes fifty times as long after its last
// run as its runs take: with a slow disk, in the life of the first pods.
func (n *Node) collectGarbage() {
	n.t.Helper()
	lease := strings.TrimSpace(n.MustCtr("-n", "k8s.io", "leases", "create"))
	n.MustCtr("-n", "k8s.io", "leases", "delete", "--sync", lease)
}

// quiet waits until the daemon is done with the pull: for two seconds without a call. It returns
// the number of calls so far.
func quiet(n *Node, trace func() []string) int {
	n.t.Helper()
	seen, since := 0, time.Now()
	n.Eventually("the daemon is done with the pull", func() bool {
		if now := len(trace()); now != seen {
			seen, since = now, time.Now()
		}
		return time.Since(since) > 2*time.Second
	})
	return seen
}

// traceSyncs attaches strace(1) to the daemon until the test ends. The function
// it returns gives the calls of the daemon that waited for a disk so far.
func (n *Node) traceSyncs() func() []string {
	n.t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		testnode.Unavailable(n.t, "no strace: run make deps")
	}
	output := filepath.Join(n.t.TempDir(), "trace")
	cmd := exec.Command(strace, "-f", "-Y", "-e", "trace=fsync,fdatasync,syncfs,sync,sync_file_range,msync",
		"-e", "signal=none", "-o", output, "-p", fmt.Sprint(n.PID()))
	stderr, err := cmd.StderrPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT) // detaches
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(stderr).ReadString('\n'); err != nil || !strings.Contains(line, "attached") {
		n.t.Skipf("strace cannot attach: %q, %v", line, err)
	}
	return func() []string { return n.syncsIn(output) }
}

// syncsIn reads strace's output: "PID<COMM> CALL". It follows containers and CNI
// plugins too, whose disks are their own business.
func (n *Node) syncsIn(output string) []string {
	n.t.Helper()
	text, err := os.ReadFile(output)
	if err != nil {
		n.t.Fatal(err)
	}
	var calls []string
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "<sardined>") && strings.Contains(line, "sync(") {
			calls = append(calls, strings.TrimSpace(line))
		}
	}
	return calls
}
