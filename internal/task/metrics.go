// SPDX-License-Identifier: Apache-2.0

package task

import (
	"errors"
	"time"

	"github.com/containerd/log"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/fdstore"
)

// phaseBuckets reach from the fastest system call worth a step to a plugin that hangs.
var phaseBuckets = []float64{
	50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2.5, 5, 10,
}

// metrics are what a scrape of the daemon's endpoint is told about containers, whoever asked for
// them. All but phases are read from their owners when they are asked for.
type metrics struct {
	version    string
	containers *container.Manager
	store      *fdstore.Store
	phases     *prometheus.HistogramVec
}

var _ prometheus.Collector = (*metrics)(nil)

func newMetrics(version string) *metrics {
	return &metrics{version: version, phases: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "sardine_phase_seconds", Help: "How long the steps of creating, starting, stopping and removing containers and pods take.",
		Buckets: phaseBuckets,
	}, []string{"phase"})}
}

// phase notes that the step name took so long.
func (m *metrics) phase(name string, took time.Duration) {
	m.phases.WithLabelValues(name).Observe(took.Seconds())
}

// Descriptions of what is collected beside the phases.
var (
	buildInfoDesc  = prometheus.NewDesc("sardine_build_info", "1, with the version of the daemon.", []string{"version"}, nil)
	containersDesc = prometheus.NewDesc("sardine_containers", "Containers of every namespace, ended ones included.", nil, nil)
	launchesDesc   = prometheus.NewDesc("sardine_launches_total", "Processes that were launched: of containers, and executed in them.", nil, nil)
	failuresDesc   = prometheus.NewDesc("sardine_launch_failures_total", "Launches of processes that failed.", nil, nil)
	adoptedDesc    = prometheus.NewDesc("sardine_adopted_containers_total",
		"Containers taken over from an earlier daemon, alive or with a recorded end.", nil, nil)
	exitsDesc = prometheus.NewDesc("sardine_exits_total",
		"Processes of containers that ended, by who knew their exit status. Of source unknown it is lost.", []string{"source"}, nil)
	storedDesc = prometheus.NewDesc("sardine_stored_descriptors",
		"Descriptors kept for the next daemon, by the kind of store that has them.", []string{"kind"}, nil)
	storeMaxDesc = prometheus.NewDesc("sardine_stored_descriptors_max",
		"Descriptors that the store has place for.", []string{"kind"}, nil)
)

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	m.phases.Describe(ch)
	for _, desc := range []*prometheus.Desc{
		buildInfoDesc, containersDesc, launchesDesc, failuresDesc, adoptedDesc, exitsDesc, storedDesc, storeMaxDesc,
	} {
		ch <- desc
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.phases.Collect(ch)
	gauge := func(desc *prometheus.Desc, n int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), labels...)
	}
	counter := func(desc *prometheus.Desc, n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), labels...)
	}
	gauge(buildInfoDesc, 1, m.version)
	gauge(containersDesc, len(m.containers.List("")))
	counts := m.containers.Counts()
	counter(launchesDesc, counts.Launched)
	counter(failuresDesc, counts.LaunchFailed)
	counter(adoptedDesc, counts.Adopted)
	for source, n := range m.containers.Exits.Counts() {
		counter(exitsDesc, n, string(source))
	}
	kind := m.store.Kind()
	gauge(storedDesc, m.store.Len(), kind)
	gauge(storeMaxDesc, m.store.Max(), kind)
}

// serveMetrics adds those of containers to the endpoint of this process, which shows those of
// the first Runtime when it has several.
func (r *Runtime) serveMetrics() {
	m := r.metrics
	m.containers, m.store = r.containers, r.store
	if err := prometheus.Register(m); err != nil {
		if already := (prometheus.AlreadyRegisteredError{}); !errors.As(err, &already) {
			log.L.WithError(err).Warn("metrics of containers are not served")
		}
		return
	}
	r.closers = append(r.closers, func() error {
		prometheus.Unregister(m)
		return nil
	})
}
