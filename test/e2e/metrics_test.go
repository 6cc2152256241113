// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/sardine-run/sardine/internal/testnode"
)

// metrics are the values that a daemon serves, by name and labels.
type metrics map[string]float64

// metricsAddress is that of metrics in a place, where nobody else has it.
const metricsAddress = "127.0.0.1:1338"

var metricLine = regexp.MustCompile(`(?m)^(sardine_\S+) (\S+)$`)

func readMetrics(t *testing.T, place *Place) metrics {
	t.Helper()
	found := metrics{}
	for _, m := range metricLine.FindAllStringSubmatch(get(t, place.HTTP(), "http://"+metricsAddress+"/v1/metrics"), -1) {
		value, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatalf("%s: %v", m[0], err)
		}
		found[m[1]] = value
	}
	return found
}

func (m metrics) want(t *testing.T, values map[string]float64) {
	t.Helper()
	for name, want := range values {
		if got, ok := m[name]; !ok || got != want {
			t.Errorf("%s is %v (%v), want %v", name, got, ok, want)
		}
	}
}

// TestMetricsOfContainers: they exist without CRI, and tell of this daemon and of the one
// before it what happened to containers.
func TestMetricsOfContainers(t *testing.T) {
	place := NewPlace(t)
	d := StartDaemon(t, In(place), WithConfig(fmt.Sprintf("[plugins.\"io.containerd.server.v1.metrics\"]\naddress = %q", metricsAddress)))
	ref := d.ImportBusybox()
	readMetrics(t, place).want(t, map[string]float64{
		"sardine_containers": 0, "sardine_launches_total": 0, "sardine_launch_failures_total": 0, "sardine_adopted_containers_total": 0,
		`sardine_exits_total{source="waitid"}`: 0, `sardine_exits_total{source="unknown"}`: 0,
	})

	short := runTask(t, d, ref, "short", oci.WithProcessArgs("true"))
	waitProcess(t, d, short)
	runTask(t, d, ref, "long", oci.WithProcessArgs("sleep", "600"))
	ends := runTask(t, d, ref, "ends", oci.WithProcessArgs("sleep", "600"))
	bad := newContainer(t, d, ref, "bad", oci.WithProcessArgs("/none"))
	if task, err := bad.NewTask(d.Context(), cio.NullIO); err == nil {
		if err := task.Start(d.Context()); err == nil {
			t.Error("a program that is not there was started")
		}
	}
	now := readMetrics(t, place)
	now.want(t, map[string]float64{
		"sardine_launches_total": 3, "sardine_launch_failures_total": 1, `sardine_exits_total{source="unknown"}`: 0,
	})
	if now[`sardine_exits_total{source="waitid"}`] < 1 || now["sardine_containers"] < 3 {
		t.Errorf("%v", now)
	}
	now.checkPhases(t, "container.create.cgroup", 3)
	if version := strings.Join(now.labels("sardine_build_info"), ""); !strings.HasPrefix(version, `{version="`) {
		t.Errorf("build info %q", version)
	}
	if stored := now.labels("sardine_stored_descriptors"); len(stored) != 1 {
		t.Errorf("stored descriptors of %q", stored)
	}

	crash(d, func() {
		must(t, syscall.Kill(int(ends.Pid()), syscall.SIGKILL))
		testnode.Eventually(t, "the process ends", func() bool { return syscall.Kill(int(ends.Pid()), 0) != nil })
	})
	if code := waitProcess(t, d, loadTask(t, d, "ends")); code != 137 {
		t.Errorf("exit code %d", code)
	}
	again := readMetrics(t, place)
	again.want(t, map[string]float64{"sardine_launches_total": 0, `sardine_exits_total{source="unknown"}`: 0})
	if adopted := again["sardine_adopted_containers_total"]; adopted < 3 {
		t.Errorf("%v containers adopted", adopted)
	}
	if known := again[`sardine_exits_total{source="bpf"}`] + again[`sardine_exits_total{source="pidfd"}`]; known < 1 {
		t.Errorf("nobody has told of the exit while the daemon was down: %v", again)
	}
}

// labels are those under which a metric is served.
func (m metrics) labels(name string) (list []string) {
	for key := range m {
		if labels, ok := strings.CutPrefix(key, name); ok && strings.HasPrefix(labels, "{") {
			list = append(list, labels)
		}
	}
	return list
}

// checkPhases checks the histogram of a phase that was done at least so often.
func (m metrics) checkPhases(t *testing.T, phase string, atLeast float64) {
	t.Helper()
	count := m[fmt.Sprintf("sardine_phase_seconds_count{phase=%q}", phase)]
	sum := m[fmt.Sprintf("sardine_phase_seconds_sum{phase=%q}", phase)]
	all := m[fmt.Sprintf("sardine_phase_seconds_bucket{phase=%q,le=\"+Inf\"}", phase)]
	if count < atLeast || all != count || sum <= 0 || sum > count*10 {
		t.Errorf("phase %s: %v times, %v s, %v in the last bucket", phase, count, sum, all)
	}
}
