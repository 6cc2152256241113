// SPDX-License-Identifier: Apache-2.0

package podstats

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/cgroup"
	"github.com/sardine-run/sardine/internal/testnode"
)

// check returns how often each metric occurs, after looking for what Prometheus, and with it the
// kubelet's whole answer, would stumble over.
func check(t *testing.T, pods []*runtime.PodSandboxMetrics) map[string]int {
	t.Helper()
	keys := map[string]int{}
	for _, d := range Descriptors() {
		if _, twice := keys[d.Name]; twice || d.Help == "" || !strings.HasPrefix(d.Name, "container_") {
			t.Errorf("descriptor %+v", d)
		}
		keys[d.Name] = len(d.LabelKeys)
	}
	count, seen := map[string]int{}, map[string]bool{}
	one := func(m *runtime.Metric) {
		if n, known := keys[m.Name]; !known || n != len(m.LabelValues) || m.Value == nil || m.Timestamp != 0 {
			t.Errorf("%v: the descriptor has %d labels", m, n)
		}
		id := fmt.Sprint(m.Name, m.LabelValues)
		if seen[id] {
			t.Errorf("twice: %v", m)
		}
		seen[id] = true
		count[m.Name]++
	}
	for _, p := range pods {
		for _, m := range p.Metrics {
			one(m)
		}
		for _, c := range p.ContainerMetrics {
			for _, m := range c.Metrics {
				one(m)
			}
		}
	}
	return count
}

func TestMetricsFitTheirDescriptors(t *testing.T) {
	h := detect(t)
	r := &Reader{Cgroups: h}
	burn := newContainer(t, spawn(t, newCgroup(t, h, testParent), "burn"), 3)
	burn.Resources = &runtime.LinuxContainerResources{CpuPeriod: 50000, CpuQuota: 25000, CpuShares: 512, MemoryLimitInBytes: 64 << 20}
	sleep := newContainer(t, spawn(t, newCgroup(t, h, testParent), "sleep"), 3)
	pods := []*Pod{newPod("", burn, sleep), newPod("")}
	pods[0].NetNS, pods[1].NetNS = newNetNS(t), newNetNS(t)
	addVeth(t, pods[0].NetNS, "eth0", pods[1].NetNS, "eth0")
	for _, c := range []*Container{burn, sleep} { // a report gives it little time
		c.History.layer.measure(c.Layer, time.Now(), time.Now().Add(testnode.Patience))
	}
	list := r.Metrics(context.Background(), pods)
	count := check(t, list)
	for _, k := range kinds() {
		want := 2
		switch {
		case slices.Contains([]string{"container_memory_failures_total"}, k.name):
			want = 8
		case k.name == specCPUQuota.name:
			want = 1
		case slices.Contains(k.labels, "device") && k != &fsUsed && k != &fsLimit && k != &fsInodes && k != &fsInodesFree:
			continue // only where a device was used
		case strings.Contains(k.name, "_pressure_"), strings.Contains(k.name, "_memory_"), strings.Contains(k.name, "threads"), k.name == oomEvents.name:
			if h.Mode() != cgroup.Hybrid {
				continue // only where there are such controllers
			}
		}
		if count[k.name] != want {
			t.Errorf("%s: %d times, not %d", k.name, count[k.name], want)
		}
	}
	got := valuesOf(list[0].ContainerMetrics[0])
	for name, ok := range map[string]bool{
		"processes": got["container_processes"] == 1,
		"files":     got["container_file_descriptors"] >= 4,
		"sockets":   got["container_sockets"] == 1,
		"quota":     got["container_spec_cpu_quota"] == 25000,
		"layer":     got["container_fs_usage_bytes"] >= 3*4096,
		"ulimit":    got["container_ulimits_soft"] > 0,
	} {
		if !ok {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func valuesOf(c *runtime.ContainerMetrics) map[string]uint64 {
	got := map[string]uint64{}
	for _, m := range c.Metrics {
		got[m.Name] = m.Value.Value
	}
	return got
}

func TestMetricsOfBlockDevices(t *testing.T) {
	v := newValues(newPod(""), "c", "id", "image")
	// Two devices nobody knows have different names.
	v.io(&cgroup.IOUsage{Devices: []cgroup.DeviceUsage{{Major: 4000, Minor: 1, Reads: 1}, {Major: 4000, Minor: 2}}}, deviceNames{})
	count := check(t, []*runtime.PodSandboxMetrics{{Metrics: v.list}})
	if count["container_fs_reads_total"] != 2 || count["container_blkio_device_usage_total"] != 4 {
		t.Errorf("%v", count)
	}
}
