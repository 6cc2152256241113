// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/sardine-run/sardine/internal/stress"
	"github.com/sardine-run/sardine/internal/throwaway"
)

// podSeries is what was measured of one daemon's CRI server, one value per
// round. Milliseconds are medians of a round.
type podSeries struct {
	ready       []float64 // pod in the node's network, one worker
	createStart []float64 // its container
	exec        []float64 // ExecSync
	four        []float64 // lives per second with four workers
	bridge      []float64 // pod ready with the bridge network
	plugins     []float64 // of which CNI plugins
	own         []float64 // and what is left
	cpu         []float64 // ms of the daemon per life, node's network, one worker
	phases      phaseSeries
	bridged     phaseSeries
}

// measurePods drives a fresh daemon's CRI server. Daemon, pods and bridge are
// in a network namespace of their own.
func (b *bench) measurePods(ctx context.Context, s subject) error {
	return b.withPods(ctx, s, usual, throwaway.CRI{Binaries: true}, func(d *throwaway.Daemon, net *network) error {
		return b.measurePodsOf(ctx, d, s.pods, net)
	})
}

// withPods calls f with a fresh daemon that serves CRI and has a network; cri says what else is special.
func (b *bench) withPods(ctx context.Context, s subject, w wiring, cri throwaway.CRI, f func(*throwaway.Daemon, *network) error) error {
	dir, err := os.MkdirTemp("", "sardine-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := build(ctx, dir+"/timedplugin", "./bench/timedplugin"); err != nil {
		return err
	}
	net, err := newNetwork(dir, b.bin("tools"), dir+"/timedplugin", w)
	if err != nil {
		return err
	}
	var d *throwaway.Daemon
	err = inNewNetwork(func() (err error) {
		cri.Plugins, cri.Network = net.plugins, net.config
		d, err = throwaway.StartCRI(ctx, s.binary, filepath.Dir(s.binary), cri)
		return err
	})
	if err != nil {
		return err
	}
	if err = f(d, net); err != nil {
		err = fmt.Errorf("%w; the end of its log:\n%s", err, d.LogTail(10))
	}
	return errors.Join(err, d.Stop())
}

func (b *bench) measurePodsOf(ctx context.Context, d *throwaway.Daemon, into *podSeries, net *network) error {
	if err := b.warmUp(ctx, d); err != nil {
		return err
	}
	if err := b.measureHostPods(ctx, d, into); err != nil {
		return err
	}
	return b.measureBridgedPods(ctx, d, into, net)
}

// warmUp has a daemon set up what it does only once, the bridge among it.
func (b *bench) warmUp(ctx context.Context, d *throwaway.Daemon) error {
	for _, network := range []string{stress.NetworkHost, stress.NetworkCNI} {
		if _, err := b.stressPods(ctx, d, network, "--count=8", "--concurrency=4"); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) measureHostPods(ctx context.Context, d *throwaway.Daemon, into *podSeries) error {
	duration := "--duration=" + b.effort.stress.String()
	one, err := b.stressPods(ctx, d, stress.NetworkHost, duration)
	if err != nil {
		return err
	}
	into.ready = append(into.ready, phase(one, stress.PodReady).P50)
	into.createStart = append(into.createStart, phase(one, stress.CreateStart).P50)
	into.cpu = append(into.cpu, one.DaemonCPU)
	into.phases.add(one)
	execs, err := b.stressPods(ctx, d, stress.NetworkHost, "--count=1", "--exec="+strconv.Itoa(b.execs))
	if err != nil {
		return err
	}
	into.exec = append(into.exec, phase(execs, stress.Exec).P50)
	four, err := b.stressPods(ctx, d, stress.NetworkHost, duration, "--concurrency=4")
	if err != nil {
		return err
	}
	into.four = append(into.four, four.Rate)
	return nil
}

// measureBridgedPods measures pods with plugins as they are, then again with
// the plugins timed. What is not theirs of the first is the daemon's.
func (b *bench) measureBridgedPods(ctx context.Context, d *throwaway.Daemon, into *podSeries, net *network) error {
	duration := "--duration=" + b.effort.stress.String()
	one, err := b.stressPods(ctx, d, stress.NetworkCNI, duration)
	if err != nil {
		return err
	}
	if err := net.watch(true); err != nil {
		return err
	}
	if _, err := b.stressPods(ctx, d, stress.NetworkCNI, duration); err != nil {
		return err
	}
	spent, err := net.spent()
	if err = errors.Join(err, net.watch(false)); err != nil {
		return err
	}
	ready, plugins := phase(one, stress.PodReady).P50, median(spent)
	into.bridge = append(into.bridge, ready)
	into.plugins = append(into.plugins, plugins)
	into.own = append(into.own, ready-plugins)
	into.bridged.add(one)
	return nil
}

func (b *bench) stressPods(ctx context.Context, d *throwaway.Daemon, network string, args ...string) (*stress.Result, error) {
	return b.sardineStress(ctx, append([]string{"--cri=" + d.Socket, "--network=" + network}, args...))
}
