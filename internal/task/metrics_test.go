// SPDX-License-Identifier: Apache-2.0

package task

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/exits"
)

// idle is a Runtime without containers that has what its metrics are read from.
func idle(t *testing.T) *Runtime {
	t.Helper()
	watcher, err := exits.New(exits.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { watcher.Close() })
	containers, err := container.New(container.Config{Dir: t.TempDir(), Exits: watcher})
	if err != nil {
		t.Fatal(err)
	}
	return &Runtime{containers: containers, metrics: newMetrics("1.2.3")}
}

func TestMetrics(t *testing.T) {
	r := idle(t)
	r.metrics.containers = r.containers
	r.Engine().Phase("container.create.cgroup", 80*time.Microsecond)
	r.Engine().Phase("container.create.cgroup", time.Minute)
	text := scrape(t, r.metrics)
	for _, want := range []string{
		`sardine_build_info{version="1.2.3"} 1`,
		`sardine_containers 0`,
		`sardine_stored_descriptors{kind="none"} 0`,
		`sardine_stored_descriptors_max{kind="none"} 0`,
		`sardine_launches_total 0`,
		`sardine_launch_failures_total 0`,
		`sardine_adopted_containers_total 0`,
		`sardine_exits_total{source="bpf"} 0`,
		`sardine_exits_total{source="pidfd"} 0`,
		`sardine_exits_total{source="procfs"} 0`,
		`sardine_exits_total{source="unknown"} 0`,
		`sardine_exits_total{source="waitid"} 0`,
		`sardine_phase_seconds_bucket{phase="container.create.cgroup",le="5e-05"} 0`,
		`sardine_phase_seconds_bucket{phase="container.create.cgroup",le="0.0001"} 1`,
		`sardine_phase_seconds_bucket{phase="container.create.cgroup",le="10"} 1`,
		`sardine_phase_seconds_bucket{phase="container.create.cgroup",le="+Inf"} 2`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("prometheus' linter: %v, %v", problems, err)
	}
}

// scrape returns what c has to tell.
func scrape(t *testing.T, c prometheus.Collector) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(c); err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil))
	return answer.Body.String()
}

// A process may have had a Runtime before, closed or not.
func TestMetricsOfTwoRuntimes(t *testing.T) {
	first, second := idle(t), idle(t)
	first.serveMetrics()
	second.serveMetrics()
	served := func() bool {
		families, err := prometheus.DefaultGatherer.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "sardine_build_info" {
				return true
			}
		}
		return false
	}
	if err := second.Close(); err != nil || !served() {
		t.Errorf("the second one is closed (%v), and those of the first are not served", err)
	}
	if err := first.Close(); err != nil || served() {
		t.Errorf("both are closed (%v), and metrics are still served", err)
	}
}
