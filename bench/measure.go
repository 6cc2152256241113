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

// bench is one run.
type bench struct {
	effort
	root      string // of the repository
	sardine   series
	peer      series
	ourPods   podSeries
	peerPods  podSeries
	ourStops  stopSeries
	peerStops stopSeries
	ourNet    netSeries
	peerNet   netSeries
	echo      echo
	launches  []float64 // ms, one per repetition of the launch benchmark
	runc      []float64 // ms of `runc run`
	density   density
}

// series is what was measured of one daemon, one value per round.
type series struct {
	startUp    []float64 // ms
	idle       []float64 // MB, resident, empty root
	one, four  []float64 // lives per second with so many workers
	library    []float64 // the same with four, through the client library's containers
	exec       []float64 // ms, median of a round
	memory     []float64 // KB per idle container, daemon and helpers
	node       []float64 // KB per idle container, of MemAvailable
	mounts     []float64 // entries per container
	helpers    []float64 // processes per container
	cpu        []float64 // ms of the daemon per life, one worker
	clientCPU  []float64 // ms of the stress client per life, one worker
	onePhases  phaseSeries
	fourPhases phaseSeries
}

// subject is a daemon and the runtime name to ask it for.
type subject struct {
	name, binary, runtime string
	into                  *series
	pods                  *podSeries
	stops                 *stopSeries
	net                   *netSeries
	check                 string // health check the daemon answers by itself, empty where it has none
}

func (b *bench) subjects() []subject {
	return []subject{
		{"sardined", b.bin("sardined"), stress.DefaultRuntime, &b.sardine, &b.ourPods, &b.ourStops, &b.ourNet, fileProbe},
		{"containerd", b.bin("tools/containerd"), "io.containerd.runc.v2", &b.peer, &b.peerPods, &b.peerStops, &b.peerNet, ""},
	}
}

// measure alternates between the daemons, so that what else the machine does
// meanwhile meets both.
func (b *bench) measure(ctx context.Context) error {
	for round := range b.rounds {
		if b.wants(containerSection) {
			if err := b.eachSubject(ctx, fmt.Sprintf("round %d of %d", round+1, b.rounds), b.measureDaemon); err != nil {
				return err
			}
			if err := b.measureAlone(ctx); err != nil {
				return err
			}
		}
		if b.wants(podSection) {
			if err := b.eachSubject(ctx, fmt.Sprintf("round %d of %d, pods", round+1, b.rounds), b.measurePods); err != nil {
				return err
			}
		}
		if b.wants(stopSection) {
			if err := b.eachSubject(ctx, fmt.Sprintf("round %d of %d, stop and probe", round+1, b.rounds), b.measureStop); err != nil {
				return err
			}
		}
	}
	if b.wants(containerSection) {
		for range b.startups {
			if err := b.eachSubject(ctx, "start-up", b.measureStartUp); err != nil {
				return err
			}
		}
	}
	if b.wants(stopSection) {
		var err error
		if b.echo, err = measureEcho(time.Second/time.Duration(b.probed), b.execTime); err != nil {
			return err
		}
	}
	if b.wants(networkSection) {
		if err := b.measureNetworks(ctx); err != nil {
			return err
		}
	}
	if b.wants(densitySection) {
		return b.measureDensity(ctx)
	}
	return nil
}

func (b *bench) eachSubject(ctx context.Context, what string, measure func(context.Context, subject) error) error {
	for _, s := range b.subjects() {
		say("%s: %s", what, s.name)
		if err := measure(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func (b *bench) start(ctx context.Context, s subject) (*throwaway.Daemon, error) {
	d, err := throwaway.Start(ctx, s.binary, filepath.Dir(s.binary))
	if err == nil {
		s.into.startUp = append(s.into.startUp, ms(d.StartUp))
	}
	return d, err
}

func (b *bench) measureStartUp(ctx context.Context, s subject) error {
	d, err := b.start(ctx, s)
	if err != nil {
		return err
	}
	return d.Stop()
}

func (b *bench) measureDaemon(ctx context.Context, s subject) error {
	d, err := b.start(ctx, s)
	if err != nil {
		return err
	}
	err = b.measureRunning(ctx, d, s)
	if err != nil {
		err = fmt.Errorf("%w; the end of its log:\n%s", err, d.LogTail(10))
	}
	return errors.Join(err, d.Stop())
}

// measureRunning holds containers before the long runs: these leave a larger
// heap behind, in which the held ones would hide. A few lives before that take
// in what a daemon sets up only once.
func (b *bench) measureRunning(ctx context.Context, d *throwaway.Daemon, s subject) error {
	if err := s.into.addIdle(ctx, d); err != nil {
		return err
	}
	if _, err := b.stress(ctx, d, s, "--count=20", "--concurrency=4"); err != nil {
		return err
	}
	held, err := b.stress(ctx, d, s, "--hold="+strconv.Itoa(b.hold), "--concurrency=2")
	if err != nil {
		return err
	}
	s.into.addHeld(held)
	execs, err := b.stress(ctx, d, s, "--count=1", "--exec="+strconv.Itoa(b.execs))
	if err != nil {
		return err
	}
	s.into.exec = append(s.into.exec, phase(execs, stress.Exec).P50)
	one, err := b.stress(ctx, d, s, "--duration="+b.effort.stress.String())
	if err != nil {
		return err
	}
	s.into.addOne(one)
	four, err := b.stress(ctx, d, s, "--concurrency=4", "--duration="+b.effort.stress.String())
	if err != nil {
		return err
	}
	s.into.four = append(s.into.four, four.Rate)
	s.into.fourPhases.add(four)
	if len(s.into.library) > 0 {
		return nil // it has no target
	}
	library, err := b.stress(ctx, d, s, "--library", "--concurrency=4", "--duration="+b.effort.stress.String())
	if err != nil {
		return err
	}
	s.into.library = append(s.into.library, library.Rate)
	return nil
}

// addIdle waits for the first garbage collections of a fresh daemon.
func (s *series) addIdle(ctx context.Context, d *throwaway.Daemon) error {
	select {
	case <-time.After(3 * time.Second):
	case <-ctx.Done():
		return ctx.Err()
	}
	sample, err := footprint.Take(d.PID, nil)
	if err != nil {
		return err
	}
	s.idle = append(s.idle, float64(sample.DaemonRSS+sample.HelperPSS)/1024)
	return nil
}

func (s *series) addHeld(r *stress.Result) {
	s.memory = append(s.memory, r.Hold.RuntimeKB)
	s.node = append(s.node, r.Hold.NodeKB)
	s.mounts = append(s.mounts, r.Hold.Mounts)
	s.helpers = append(s.helpers, r.Hold.Helpers)
}

func (s *series) addOne(r *stress.Result) {
	s.one = append(s.one, r.Rate)
	s.cpu = append(s.cpu, r.DaemonCPU)
	s.clientCPU = append(s.clientCPU, r.ClientCPU)
	s.onePhases.add(r)
}

// stress runs the same command that users have. It fails when a container did.
func (b *bench) stress(ctx context.Context, d *throwaway.Daemon, s subject, args ...string) (*stress.Result, error) {
	return b.sardineStress(ctx, append([]string{"--address=" + d.Socket, "--runtime=" + s.runtime}, args...))
}

// sardineStress takes two arguments that say what to drive, and those of the workload.
func (b *bench) sardineStress(ctx context.Context, args []string) (*stress.Result, error) {
	say("  sardine stress %s", args[1:])
	args = append([]string{"stress", "--json"}, args...)
	cmd := exec.CommandContext(ctx, b.bin("sardine"), args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("sardine %v: %w: %s", args, err, stderr.Bytes())
	}
	result := new(stress.Result)
	if err := json.Unmarshal(stdout.Bytes(), result); err != nil {
		return nil, fmt.Errorf("result of sardine %v: %w", args, err)
	}
	return result, nil
}

func phase(r *stress.Result, p stress.Phase) stress.Distribution {
	for _, found := range r.Phases {
		if found.Name == p.String() {
			return found.Distribution
		}
	}
	return stress.Distribution{}
}

// phaseSeries are the medians of each phase, one per round.
type phaseSeries map[string][]float64

func (p *phaseSeries) add(r *stress.Result) {
	if *p == nil {
		*p = make(phaseSeries)
	}
	for _, found := range r.Phases {
		(*p)[found.Name] = append((*p)[found.Name], found.P50)
	}
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
