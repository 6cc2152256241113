// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/sardine-run/sardine/internal/footprint"
	"github.com/sardine-run/sardine/internal/stress"
	"github.com/sardine-run/sardine/internal/throwaway"
)

// density is what idle pods cost, by how many there are. Of many pods there is
// one round: all of them pay for the same things.
type density struct {
	few  populations // sardined's
	many populations
	host *population // many in the node's network
	peer populations // containerd's few

	fewFloor, manyFloor, fewOneCgroup, manyOneCgroup floor
}

// population is what was measured of a number of pods.
type population struct {
	held     *stress.HoldResult
	recovery time.Duration // from the start of a killed daemon until it lists all pods
	first    float64       // ms of the plugins for the first pods, median
	last     float64       // and for the last
}

type populations []population

// floor is the growth for each of a number of processes with what a pod has of
// the kernel, and no runtime.
type floor footprint.Growth

// readyWindow is how many first and last pods stress compares.
const readyWindow = 50

// measureDensity measures the floor last: the kernel keeps what memory cgroups
// need for the greatest number of file systems there was, and now all have met it.
func (b *bench) measureDensity(ctx context.Context) error {
	ours, peer := b.subjects()[0], b.subjects()[1]
	into := &b.density
	for round := range b.rounds {
		say("density, round %d of %d: %s, %d pods", round+1, b.rounds, ours.name, b.few)
		idle := b.idle
		if round > 0 {
			idle = stress.Rest // its CPU use hardly changes
		}
		p, err := b.populate(ctx, ours, stress.NetworkCNI, b.few, idle)
		if err != nil {
			return err
		}
		into.few = append(into.few, *p)
	}
	say("density: %s, %d pods", peer.name, b.few)
	p, err := b.populate(ctx, peer, stress.NetworkCNI, b.few, b.idle)
	if err != nil {
		return err
	}
	into.peer = append(into.peer, *p)
	say("density: %s, %d pods", ours.name, b.many)
	if p, err = b.populate(ctx, ours, stress.NetworkCNI, b.many, stress.Rest); err != nil {
		return err
	}
	into.many = append(into.many, *p)
	if into.host, err = b.populate(ctx, ours, stress.NetworkHost, b.many, stress.Rest); err != nil {
		return err
	}
	return b.measureFloors(ctx)
}

// populate holds idle pods in a fresh daemon, kills it while they are there, and
// waits until the next one tells of all.
func (b *bench) populate(ctx context.Context, s subject, kind string, pods int, idle time.Duration) (*population, error) {
	p := &population{}
	err := b.withPods(ctx, s, plain, throwaway.CRI{}, func(d *throwaway.Daemon, net *network) error {
		if err := b.warmUp(ctx, d); err != nil {
			return err
		}
		if err := net.watch(true); err != nil {
			return err
		}
		say("  %d pods, network %s", pods, kind)
		result, err := stress.RunWhile(ctx, stress.Options{
			Address: d.Socket, CRI: true, Network: kind, Hold: pods, Idle: idle,
			Concurrency: 1, Timeout: time.Minute, MaxErrors: 1,
		}, func(ctx context.Context) (err error) {
			p.recovery, err = recovery(ctx, d)
			return err
		})
		if err != nil {
			return err
		}
		if result.Errors > 0 {
			return errors.New(result.ErrorKinds[0].Text)
		}
		p.held = result.Hold
		if kind != stress.NetworkCNI {
			return nil
		}
		if s.runtime == stress.DefaultRuntime {
			return nil // they run inside the daemon, and their time is its own
		}
		spent, err := net.spent()
		p.setPlugins(spent)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s, %d pods: %w", s.name, pods, err)
	}
	return p, nil
}

// setPlugins takes the time of the plugins for each pod, in order.
func (p *population) setPlugins(spent []float64) {
	if n := min(readyWindow, len(spent)/2); n > 0 {
		p.first, p.last = median(spent[:n]), median(spent[len(spent)-n:])
	}
}

// growth is how much longer the last pods took than the first, of which the
// plugins' time is left out.
func (p *population) growth() float64 {
	if p == nil || p.held == nil || p.held.Ready == nil {
		return 0
	}
	return (p.held.Ready.Last - p.last) / (p.held.Ready.First - p.first)
}

// of is the median of a figure over all rounds; 0 when there was none.
func (p populations) of(figure func(population) float64) float64 {
	var values []float64
	for _, one := range p {
		values = append(values, figure(one))
	}
	return median(values)
}

func (b *bench) measureFloors(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "sardine-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "floor")
	if err := build(ctx, program, "./bench/floor"); err != nil {
		return err
	}
	into := &b.density
	for _, one := range []struct {
		into    *floor
		count   int
		cgroups string
	}{
		{&into.fewFloor, b.few, "all"}, {&into.fewOneCgroup, b.few, "one"},
		{&into.manyFloor, b.many, "all"}, {&into.manyOneCgroup, b.many, "one"},
	} {
		say("density: the bare floor, %d processes, cgroups: %s", one.count, one.cgroups)
		if *one.into, err = b.runFloor(ctx, program, one.count, one.cgroups); err != nil {
			return err
		}
	}
	return nil
}

// runFloor runs the program in a network namespace of its own.
func (b *bench) runFloor(ctx context.Context, program string, count int, cgroups string) (f floor, err error) {
	cmd := exec.CommandContext(ctx, program, "--count="+strconv.Itoa(count), "--cgroups="+cgroups, "--bridge="+b.bin("tools/bridge"))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err = inNewNetwork(cmd.Start); err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return f, fmt.Errorf("floor: %w: %s", err, stderr.Bytes())
	}
	return f, json.Unmarshal(stdout.Bytes(), &f)
}
