// SPDX-License-Identifier: Apache-2.0

package criplugin

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sardine-run/sardine/internal/probe"
)

// probeBuckets are in seconds. A file takes some microseconds, a server what it takes.
var probeBuckets = []float64{.00001, .000025, .00005, .0001, .00025, .0005, .001, .005, .025, .1, .5, 1, 5, 30}

// openProbes has the daemon answer probes itself unless the configuration says otherwise.
func (b *builder) openProbes() error {
	if !b.engine.Probes {
		return nil
	}
	total := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sardine_probes_total", Help: "Health probes answered by the daemon, by kind and result.",
	}, []string{"kind", "result"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "sardine_probe_duration_seconds", Help: "How long health probes took that the daemon has answered, by kind.", Buckets: probeBuckets,
	}, []string{"kind"})
	b.probes = &probe.Prober{Observe: func(kind string, outcome probe.Outcome, took time.Duration) {
		total.WithLabelValues(kind, string(outcome)).Inc()
		seconds.WithLabelValues(kind).Observe(took.Seconds())
	}}
	for _, c := range []prometheus.Collector{total, seconds} {
		if err := b.register(c); err != nil {
			return err
		}
	}
	return nil
}
