// SPDX-License-Identifier: Apache-2.0

package criplugin

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// registerMetrics adds what containerd has no metric for to those of the daemon.
func (b *builder) registerMetrics() error {
	for _, c := range []prometheus.Collector{
		counter("sardine_log_lost_bytes_total", "What containers have printed that could not be written to their logs.",
			func() float64 { return float64(b.logs.Lost()) }),
		gauge("sardine_pods", "Pod sandboxes, stopped ones included.", func() float64 { return float64(len(b.pods.Sandboxes())) }),
		gauge("sardine_pod_containers", "Containers of pods, ended ones included.", func() float64 { return float64(len(b.pods.AllContainers())) }),
		gauge("sardine_layers_deleting", "Writable layers that were dropped and are still on disk.", func() float64 { return float64(b.pods.Deleting()) }),
		gauge("sardine_network_pending", "Pods whose detachment from a network failed and is tried again.",
			func() float64 { return float64(b.networks.Metrics().Waiting) }),
	} {
		if err := b.register(c); err != nil {
			return err
		}
	}
	return nil
}

// register has c collected until the server ends.
func (b *builder) register(c prometheus.Collector) error {
	if err := prometheus.Register(c); err != nil {
		return err
	}
	b.onClose(func() error {
		if !prometheus.Unregister(c) {
			return errors.New("a metric was not registered")
		}
		return nil
	})
	return nil
}

func counter(name, help string, f func() float64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, f)
}

func gauge(name, help string, f func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f)
}
