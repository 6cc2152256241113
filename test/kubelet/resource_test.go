// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// testResources looks at the cgroups of a pod and its containers, and at what
// the kernel is to kill first.
func testResources(t *testing.T, n *node) {
	p := n.run(t, `
containers:
- name: limited
  image: {{busybox}}
  command: [sleep, 1d]
  resources:
    requests: {cpu: 100m, memory: 32Mi}
    limits: {cpu: 500m, memory: 64Mi}
- name: free
  image: {{busybox}}
  command: [sleep, 1d]
`)
	s := p.ready()
	expect(t, "quality of service", s.Status.QOSClass, "Burstable")
	id := p.containerID("limited")
	if unified() {
		expect(t, "memory limit", p.cgroupFile("memory", id, "memory.max"), "67108864")
		expect(t, "processor limit", p.cgroupFile("cpu", id, "cpu.max"), "50000 100000")
	} else {
		expect(t, "memory limit", p.cgroupFile("memory", id, "memory.limit_in_bytes"), "67108864")
		expect(t, "processor limit", p.cgroupFile("cpu", id, "cpu.cfs_quota_us"), "50000")
		expect(t, "processor share", p.cgroupFile("cpu", id, "cpu.shares"), "102")
	}
	expect(t, "limit of processes, the pod's", p.cgroupFile("pids", "", "pids.max"), "512")
	inside := p.sh("limited", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max")
	expect(t, "memory limit from inside", inside, "67108864")
	if score := p.score("limited"); score <= 2 || score >= 1000 {
		t.Errorf("oom_score_adj of a burstable container is %d", score)
	}
	if len(n.pidsIn(p.cgroupDir("memory"))) > 0 {
		t.Error("processes are in the pod's cgroup itself")
	}
	testClasses(t, n)
}

// testClasses: a guaranteed pod is to be killed last, one that promises nothing
// first. A machine may forbid to lower the score; then it stays as it is.
func testClasses(t *testing.T, n *node) {
	t.Run("guaranteed", func(t *testing.T) {
		p := n.run(t, `
containers:
- name: main
  image: {{busybox}}
  command: [sleep, 1d]
  resources: {limits: {cpu: 100m, memory: 32Mi}}
`)
		expect(t, "quality of service", p.ready().Status.QOSClass, "Guaranteed")
		own, err := os.ReadFile("/proc/self/oom_score_adj")
		if err != nil {
			t.Fatal(err)
		}
		least, err := strconv.Atoi(strings.TrimSpace(string(own)))
		if err != nil {
			t.Fatal(err)
		}
		if score := p.score("main"); score != -997 && score > least {
			t.Errorf("oom_score_adj is %d, the node's processes have %d", score, least)
		}
	})
	t.Run("best-effort", func(t *testing.T) {
		p := n.run(t, sleeper)
		expect(t, "quality of service", p.ready().Status.QOSClass, "BestEffort")
		expect(t, "oom_score_adj", p.score("main"), 1000)
	})
}

func (p *pod) cgroupFile(controller, below, name string) string {
	p.t.Helper()
	data, err := os.ReadFile(filepath.Join(p.cgroupDir(controller, below), name))
	if err != nil {
		p.t.Error(err)
	}
	return strings.TrimSpace(string(data))
}

// score returns oom_score_adj of a container.
func (p *pod) score(container string) int {
	p.t.Helper()
	score, err := strconv.Atoi(p.sh(container, "cat /proc/1/oom_score_adj"))
	if err != nil {
		p.t.Fatal(err)
	}
	return score
}

// summary is what the tests read of the kubelet's stats.
type summary struct {
	Node struct {
		Runtime struct {
			ImageFs *filesystem `json:"imageFs"`
		} `json:"runtime"`
	} `json:"node"`
	Pods []podStats `json:"pods"`
}

type podStats struct {
	PodRef struct {
		Name string `json:"name"`
	} `json:"podRef"`
	CPU        usage `json:"cpu"`
	Memory     usage `json:"memory"`
	Network    usage `json:"network"`
	Containers []struct {
		Name   string      `json:"name"`
		CPU    usage       `json:"cpu"`
		Memory usage       `json:"memory"`
		Rootfs *filesystem `json:"rootfs"`
		Logs   *filesystem `json:"logs"`
	} `json:"containers"`
}

type usage struct {
	UsageCoreNanoSeconds uint64 `json:"usageCoreNanoSeconds"`
	UsageNanoCores       uint64 `json:"usageNanoCores"`
	WorkingSetBytes      uint64 `json:"workingSetBytes"`
	RxBytes              uint64 `json:"rxBytes"`
}

type filesystem struct {
	UsedBytes     uint64 `json:"usedBytes"`
	CapacityBytes uint64 `json:"capacityBytes"`
}

func (n *node) summary() (summary, error) {
	var s summary
	text, err := n.kubelet.api.get("/stats/summary")
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	return s, err
}

// testStats: a container's use of everything shows up in the summary, and in
// the metrics that autoscalers read.
func testStats(t *testing.T, n *node) {
	p := n.run(t, `
containers:
- name: main
  image: {{busybox}}
  command: [sh, -c, "head -c 2000000 /dev/zero >/tmp/file; echo said; payload memory 24 & while :; do :; done"]
  resources: {limits: {cpu: 100m, memory: 128Mi}}
`)
	p.ready()
	eventually(t, "the summary has what the container uses", func() error {
		_, _ = p.exec("main", "ping", "-c", "1", "-w", "5", "10.88.0.1") // it has little of the processor
		s, err := n.summary()
		if err != nil {
			return err
		}
		return n.checkStats(s, p.fullName())
	})
	eventually(t, "the resource metrics have the container", func() error {
		text, err := n.kubelet.api.get("/metrics/resource")
		if err != nil {
			return err
		}
		for _, name := range []string{"container_cpu_usage_seconds_total", "container_memory_working_set_bytes"} {
			if !strings.Contains(string(text), fmt.Sprintf(`%s{container="main",namespace="default",pod="%s"}`, name, p.fullName())) {
				return fmt.Errorf("no %s", name)
			}
		}
		return nil
	})
}

// checkStats looks for all statistics of a pod. Unless the kubelet takes them
// from the runtime, cAdvisor counts a pod's network, in the network namespace of
// its pause container: sardined has none.
func (n *node) checkStats(s summary, name string) error {
	if s.Node.Runtime.ImageFs == nil || s.Node.Runtime.ImageFs.CapacityBytes != imageSpace<<20 {
		return fmt.Errorf("the images' file system is %+v", s.Node.Runtime.ImageFs)
	}
	for _, p := range s.Pods {
		if p.PodRef.Name == name {
			if err := p.check(); err != nil {
				return err
			}
			if p.Network.RxBytes == 0 && (daemonProgram() != "sardined" || n.kubelet.gates["PodAndContainerStatsFromCRI"]) {
				return fmt.Errorf("network: %+v", p)
			}
			return nil
		}
	}
	return fmt.Errorf("no pod %s in the summary", name)
}

func (p *podStats) check() error {
	if len(p.Containers) != 1 {
		return fmt.Errorf("containers: %+v", p.Containers)
	}
	c := p.Containers[0]
	for what, ok := range map[string]bool{
		"processor":            c.CPU.UsageCoreNanoSeconds > 1e7 && c.CPU.UsageNanoCores > 0,
		"memory":               c.Memory.WorkingSetBytes > 24<<20 && c.Memory.WorkingSetBytes < 128<<20,
		"writable layer":       c.Rootfs != nil && c.Rootfs.UsedBytes >= 2000000 && c.Rootfs.UsedBytes < 4000000,
		"log":                  c.Logs != nil && c.Logs.UsedBytes > 0,
		"processor of the pod": p.CPU.UsageCoreNanoSeconds >= c.CPU.UsageCoreNanoSeconds/2,
		"memory of the pod":    p.Memory.WorkingSetBytes > 24<<20,
	} {
		if !ok {
			return fmt.Errorf("%s: %+v", what, p)
		}
	}
	return nil
}
