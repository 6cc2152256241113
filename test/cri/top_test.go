// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/top"
	"github.com/sardine-run/sardine/test/e2e"
)

// metricsAddress is in the network of the node, which is the test's own.
const metricsAddress = "127.0.0.1:1338"

var withMetrics = e2e.WithConfig("[plugins.\"io.containerd.server.v1.metrics\"]\naddress = \"" + metricsAddress + "\"")

// top runs "sardine top --once".
func (n *Node) top(args ...string) string {
	n.t.Helper()
	cmd := exec.Command(e2e.Program(n.t, "sardine"), append([]string{"top", "--once", "--address", n.Address, "--interval", "1s"}, args...)...)
	var out, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errors
	if err := n.Place.Run(cmd); err != nil {
		n.t.Fatalf("%v: %v\n%s", cmd.Args, err, errors.String())
	}
	return out.String()
}

func (n *Node) topReport(args ...string) *top.Report {
	n.t.Helper()
	var r top.Report
	if err := json.Unmarshal([]byte(n.top(append(args, "--json")...)), &r); err != nil {
		n.t.Fatal(err)
	}
	return &r
}

func TestTop(t *testing.T) {
	n := StartNode(t, withMetrics)
	n.Pull(Busybox)
	busy, idle := n.RunPod(), n.RunPod()
	busy.Run("loop", "while :; do :; done")
	busy.Run("calm", Forever)
	first := idle.Run("c", "exit 3")
	n.WaitExited(first)
	again := ContainerConfig("c", Forever)
	again.Metadata.Attempt = 1 // as the kubelet restarts it
	n.StartContainer(idle.Create(again))
	gone := n.RunPod(HostNetwork)
	n.stopPod(gone)

	var r *top.Report
	n.Eventually("top sees a pod that uses all it can get", func() bool { // which is nothing in a second in which others run
		r = n.topReport("--metrics", metricsAddress)
		return slices.ContainsFunc(r.Pods, func(p top.Pod) bool { return p.ID == busy.ID && isBusy(p) })
	})
	if r.Address != n.Address || r.RuntimeVersion == "" || r.IntervalSeconds < 1 {
		t.Errorf("%+v", r)
	}
	if node := r.Node; node.Pods != 3 || node.PodsReady != 2 || node.Containers != 3 || node.ContainersRunning != 3 || node.CPUs < 1 || *node.CPUPercent <= 0 {
		t.Errorf("node %+v", node)
	}
	n.checkTopDaemon(r.Daemon)
	pods := map[string]top.Pod{}
	for _, p := range r.Pods {
		pods[p.ID] = p
	}
	p := pods[busy.ID]
	if p.Namespace != "tests" || p.Name != busy.Config.Metadata.Name || p.UID != busy.Config.Metadata.Uid || p.State != "ready" || p.ContainersRunning != 2 ||
		p.AgeSeconds <= 0 || !slices.Equal(p.IPs, []string{n.addressOf(busy)}) {
		t.Errorf("pod %+v", p)
	}
	if p.CPUPercent == nil || *p.CPUPercent < 10 || p.MemoryWorkingSetBytes == nil || *p.MemoryWorkingSetBytes == 0 {
		t.Errorf("a pod that uses all it can get: %+v", p.Usage)
	}
	// In the order of their names.
	if len(p.Containers) != 2 || p.Containers[1].Name != "loop" || *p.Containers[1].CPUPercent < 10 || *p.Containers[0].CPUPercent > *p.Containers[1].CPUPercent {
		t.Errorf("containers %+v", p.Containers)
	}
	if p := pods[idle.ID]; p.Restarts != 1 || len(p.Containers) != 1 || p.Containers[0].Restarts != 1 || p.Containers[0].State != "running" {
		t.Errorf("a pod whose container was restarted: %+v", p)
	}
	if p := pods[gone.ID]; p.State != "notReady" || p.CPUPercent != nil {
		t.Errorf("a pod that was stopped: %+v", p)
	}
	if r := n.topReport("--namespace", "others"); len(r.Pods) != 0 || r.Node.Pods != 3 {
		t.Errorf("of another namespace: %+v", r)
	}
	n.checkTopTable(busy, idle)
}

// isBusy tells whether the use of all that is in a pod is known, and is that of a processor or a good part of it.
func isBusy(p top.Pod) bool {
	busy := p.CPUPercent != nil && *p.CPUPercent >= 10
	for _, c := range p.Containers {
		busy = busy && c.CPUPercent != nil && (c.Name != "loop" || *c.CPUPercent >= 10)
	}
	return busy
}

func (n *Node) stopPod(p *Pod) {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	if _, err := n.Runtime.StopPodSandbox(ctx, &runtime.StopPodSandboxRequest{PodSandboxId: p.ID}); err != nil {
		n.t.Fatalf("stop the pod: %v", err)
	}
}

// addressOf asks for a pod's address.
func (n *Node) addressOf(p *Pod) string {
	n.t.Helper()
	ctx, cancel := n.context()
	defer cancel()
	answer, err := n.Runtime.PodSandboxStatus(ctx, &runtime.PodSandboxStatusRequest{PodSandboxId: p.ID})
	if err != nil {
		n.t.Fatalf("status of the pod: %v", err)
	}
	return answer.Status.GetNetwork().GetIp()
}

// checkTopDaemon compares what is said of the daemon with what is known of it.
func (n *Node) checkTopDaemon(d *top.Daemon) {
	n.t.Helper()
	if d == nil || d.PID != n.PID() || d.ResidentBytes < 10<<20 || d.Threads < 3 || d.Descriptors == nil || *d.Descriptors < 10 || d.CPUPercent == nil || d.AgeSeconds <= 0 {
		n.t.Fatalf("daemon %+v", d)
	}
	if d.Goroutines == nil || *d.Goroutines < 10 {
		n.t.Errorf("goroutines %v", d.Goroutines)
	}
	if program() != "sardined" {
		return
	}
	if d.StoredDescriptors == nil {
		n.t.Error("the metrics do not tell of stored descriptors")
	}
	if h := d.Holder; h == nil || h.PID == d.PID || h.ResidentBytes <= 0 || h.ResidentBytes > 16<<20 {
		n.t.Errorf("holder %+v", h)
	}
}

func (n *Node) checkTopTable(busy, idle *Pod) {
	n.t.Helper()
	lines := strings.Split(n.top("--containers", "--sort", "restarts"), "\n")
	var names []string
	for _, line := range lines[min(5, len(lines)):] {
		if fields := strings.Fields(line); len(fields) > 0 {
			names = append(names, fields[0])
		}
	}
	pod := func(p *Pod) string { return p.Config.Metadata.Namespace + "/" + p.Config.Metadata.Name }
	want := []string{pod(idle), "c", pod(busy), "calm", "loop"}
	if len(names) != 6 || !slices.Equal(names[:5], want) {
		n.t.Errorf("got %q, want at first %q:\n%s", names, want, strings.Join(lines, "\n"))
	}
}

// A daemon without CRI says so.
func TestTopWithoutCRI(t *testing.T) {
	d := e2e.StartDaemon(t)
	out, err := exec.Command(e2e.Program(t, "sardine"), "top", "--once", "--address", d.Address).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "does not serve CRI") {
		t.Errorf("%v: %s", err, out)
	}
}
