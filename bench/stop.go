// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/footprint"
	"github.com/sardine-run/sardine/internal/stress"
	"github.com/sardine-run/sardine/internal/throwaway"
)

// stopWorkers are the numbers of clients that stop pods at the same time.
var stopWorkers = [...]int{1, 2, 4, 8}

// execClients is how many clients exec in one container at the same time.
const execClients = 100

// fileProbe is a health check that sardined answers by itself. The file is
// mounted into every pod that stress makes for it.
const fileProbe = "sardine-probe file /etc/hosts --validity 1h"

// repeats is how often pods are stopped at most where that is over too soon.
const repeats = 3

// stopSeries is what was measured of one daemon, one value per round.
type stopSeries struct {
	container []float64                   // ms, StopContainer with one client, p50
	sandbox   []float64                   // ms, StopPodSandbox with one client, p50
	all       [len(stopWorkers)][]float64 // s, until all pods are stopped; of containerd, one round: its pods take long to make
	exec      []float64                   // ms, one client, p50
	execCPU   []float64                   // s per 1,000, one client
	execRate  []float64                   // per second, many clients
	execMany  []float64                   // ms, many clients, p50
	probe     []float64                   // ms, health check, p50
	probeCPU  []float64                   // s per 1,000
	steady    []float64                   // % of a core, all pods probed every second
	answered  []float64                   // per second of these probes
	calls     []float64                   // % of a core, as many calls of Version
}

// measureStop drives a fresh daemon's CRI server. What its helpers use of the
// processor is measured in all cases, and what they have waited for.
func (b *bench) measureStop(ctx context.Context, s subject) error {
	return b.withPods(ctx, s, usual, throwaway.CRI{}, func(d *throwaway.Daemon, _ *network) error {
		if _, err := b.stressHost(ctx, d, "--count=8", "--concurrency=4"); err != nil {
			return err
		}
		for i, workers := range stopWorkers {
			if s.check == "" && len(s.stops.all[i]) > 0 {
				continue // so many pods take containerd long to make, and it misses by far
			}
			if err := b.measureStops(ctx, d, s.stops, i, workers); err != nil {
				return err
			}
		}
		if err := b.measureExecs(ctx, d, s); err != nil {
			return err
		}
		if len(s.stops.steady) > 0 {
			return nil // it takes long, and hardly changes
		}
		return b.measureSteady(ctx, d, s)
	})
}

// measureStops stops pods with so many clients, several times where that is
// over too soon.
func (b *bench) measureStops(ctx context.Context, d *throwaway.Daemon, into *stopSeries, i, workers int) error {
	var all, container, sandbox []float64
	for measured := 0.0; measured < b.stopTime.Seconds() && len(all) < repeats; {
		r, err := b.stressHost(ctx, d, "--stop="+strconv.Itoa(b.stops), "--concurrency="+strconv.Itoa(workers))
		if err != nil {
			return err
		}
		if r.Stop == nil || r.Stop.Pods != b.stops {
			return fmt.Errorf("stopped %+v of %d pods", r.Stop, b.stops)
		}
		measured += r.Stop.Seconds
		all = append(all, r.Stop.Seconds)
		container = append(container, phase(r, stress.StopContainer).P50)
		sandbox = append(sandbox, phase(r, stress.StopPodSandbox).P50)
	}
	into.all[i] = append(into.all[i], median(all))
	if workers == 1 {
		into.container = append(into.container, median(container))
		into.sandbox = append(into.sandbox, median(sandbox))
	}
	return nil
}

// measureExecs takes a daemon's health check: where it has none of its own, that
// is what was measured as an exec already.
func (b *bench) measureExecs(ctx context.Context, d *throwaway.Daemon, s subject) error {
	duration := "--duration=" + b.execTime.String()
	one, err := b.stressHost(ctx, d, "--probe=1", duration)
	if err != nil {
		return err
	}
	many, err := b.stressHost(ctx, d, "--probe=1", duration, "--concurrency="+strconv.Itoa(execClients))
	if err != nil {
		return err
	}
	check := one
	if s.check != "" {
		if check, err = b.stressHost(ctx, d, "--probe=1", duration, "--command="+s.check); err != nil {
			return err
		}
	}
	into := s.stops
	into.exec = append(into.exec, phase(one, stress.Exec).P50)
	into.execCPU = append(into.execCPU, one.Probe.Runtime.Per1000)
	into.execRate = append(into.execRate, many.Probe.Rate)
	into.execMany = append(into.execMany, phase(many, stress.Exec).P50)
	into.probe = append(into.probe, phase(check, stress.Exec).P50)
	into.probeCPU = append(into.probeCPU, check.Probe.Runtime.Per1000)
	return nil
}

// measureSteady probes many pods as a kubelet does. Where a runtime cannot follow, all of them wait for an answer, which may take it long.
func (b *bench) measureSteady(ctx context.Context, d *throwaway.Daemon, s subject) error {
	args := []string{"--timeout=2m", "--probe=" + strconv.Itoa(b.probed), "--every=1s", "--duration=" + b.probeTime.String()}
	if s.check != "" {
		args = append(args, "--command="+s.check)
	}
	r, err := b.stressHost(ctx, d, args...)
	if err != nil {
		return err
	}
	s.stops.steady = append(s.stops.steady, r.Probe.Runtime.Percent)
	s.stops.answered = append(s.stops.answered, r.Probe.Rate)
	calls, err := measureCalls(ctx, d, time.Second/time.Duration(b.probed), b.execTime)
	s.stops.calls = append(s.stops.calls, calls)
	return err
}

// measureCalls measures what a daemon uses of a core when it is asked for its
// version at every tick: what any CRI call costs, whatever it does.
func measureCalls(ctx context.Context, d *throwaway.Daemon, every, duration time.Duration) (float64, error) {
	say("  Version every %s", every)
	conn, err := grpc.NewClient("unix://"+d.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	client := cri.NewRuntimeServiceClient(conn)
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	before, err := footprint.Usage(d.PID)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	for time.Since(began) < duration {
		if _, err := client.Version(ctx, &cri.VersionRequest{}); err != nil {
			return 0, fmt.Errorf("ask for the version: %w", err)
		}
		<-ticks.C
	}
	elapsed := time.Since(began)
	used, err := before.Since()
	return 100 * used.Daemon.Seconds() / elapsed.Seconds(), err
}

func (b *bench) stressHost(ctx context.Context, d *throwaway.Daemon, args ...string) (*stress.Result, error) {
	return b.stressPods(ctx, d, stress.NetworkHost, args...)
}
