// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/sardine-run/sardine/internal/stress"
	"github.com/sardine-run/sardine/internal/throwaway"
)

// netSeries is what was measured of one way to attach pods, one value per round.
type netSeries struct {
	add, del []float64 // ms, medians of a round
	ready    []float64 // ms, pod ready, one worker
	stop     []float64 // ms, StopPodSandbox, one worker
	four     []float64 // lives per second, four workers
	first    float64   // ms, ADD of the first pods, median
	last     float64   // and of the last
	lastDel  float64   // ms, DEL of the last ones
	loss     [len(ways)][]float64
}

// way is one that data takes, and what it is compared with.
type way struct {
	what     string
	kind     string // of podnet's clients
	from, to place
}

type place int

const (
	onNode place = iota
	firstPod
	secondPod
)

// ways are compared with the node's loopback.
var ways = [...]way{
	{"TCP throughput, pod to pod", "tcp", firstPod, secondPod},
	{"TCP throughput, pod to node", "tcp", firstPod, onNode},
	{"HTTP requests per second, pod to pod", "http", firstPod, secondPod},
	{"HTTP requests per second, node to pod", "http", onNode, secondPod},
}

const (
	// hostPorts is the first of the node's ports that pods have.
	hostPorts = 20000
	// growWindow is how many first and last pods are compared.
	growWindow = 100
	// growDel is how many are detached while the others are there.
	growDel = 50
)

// measureNetworks measures all rounds on the same two nodes.
func (b *bench) measureNetworks(ctx context.Context) error {
	err := b.withNodes(ctx, func(n *nodes) error {
		for round := range b.rounds {
			if err := b.measureNetwork(ctx, n, round); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return b.measureGrowth(ctx)
}

// measureNetwork measures one round of each way to attach pods.
func (b *bench) measureNetwork(ctx context.Context, nodes *nodes, round int) error {
	for _, s := range b.subjects() {
		say("round %d of %d, network: %s", round+1, b.rounds, s.name)
		said, err := nodes.of(s).order("time %d", b.attached)
		if err != nil {
			return err
		}
		s.net.add, s.net.del = append(s.net.add, median(said.Add)), append(s.net.del, median(said.Del))
		if err := b.measureNetworkPods(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	say("  traffic")
	return b.measureTraffic(ctx, nodes)
}

// measureNetworkPods drives a fresh daemon, which has its plugins inside if it can.
func (b *bench) measureNetworkPods(ctx context.Context, s subject) error {
	return b.withPods(ctx, s, usual, throwaway.CRI{}, func(d *throwaway.Daemon, _ *network) error {
		args := []string{"--host-port=" + strconv.Itoa(hostPorts), "--duration=" + (b.effort.stress * 5 / 8).String()}
		// One after the other: the reference's programs get in each other's way while they make their first chains.
		if _, err := b.stressPods(ctx, d, stress.NetworkCNI, args[0], "--count=8"); err != nil {
			return err
		}
		one, err := b.stressPods(ctx, d, stress.NetworkCNI, args...)
		if err != nil {
			return err
		}
		four, err := b.stressPods(ctx, d, stress.NetworkCNI, append(args, "--concurrency=4")...)
		if err != nil {
			return err
		}
		s.net.ready = append(s.net.ready, phase(one, stress.PodReady).P50)
		s.net.stop = append(s.net.stop, phase(one, stress.StopPodSandbox).P50)
		s.net.four = append(s.net.four, four.Rate)
		return nil
	})
}

// nodes are those of the bench's run: one with the plugins inside, one with the programs, a pair of pods on each.
type nodes struct {
	inside, reference *site
}

// site is a node with what traffic needs.
type site struct {
	*node
	spaces  [3]*os.File
	address [3]string // as seen from a pod
	servers []*server
}

func (n *nodes) of(s subject) *site {
	if s.runtime == stress.DefaultRuntime {
		return n.inside
	}
	return n.reference
}

// withNodes calls f with both nodes.
func (b *bench) withNodes(ctx context.Context, f func(*nodes) error) error {
	return b.withPodnet(ctx, func(program string) (err error) {
		n := &nodes{}
		if n.inside, err = openSite(ctx, program, b.bin("tools"), true); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, n.inside.close()) }()
		if n.reference, err = openSite(ctx, program, b.bin("tools"), false); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, n.reference.close()) }()
		return f(n)
	})
}

// withPodnet builds the program.
func (b *bench) withPodnet(ctx context.Context, f func(program string) error) error {
	dir, err := os.MkdirTemp("", "sardine-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "podnet")
	if err := build(ctx, program, "./bench/podnet"); err != nil {
		return err
	}
	return f(program)
}

func openSite(ctx context.Context, program, plugins string, inside bool) (_ *site, err error) {
	s := &site{}
	defer func() {
		if err != nil && s.node != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.node, err = startNode(ctx, program, plugins, inside); err != nil {
		return nil, err
	}
	pair, err := s.order("pair")
	if err != nil {
		return nil, err
	}
	if len(pair.Spaces) != 2 || len(pair.Addresses) != 2 {
		return nil, fmt.Errorf("podnet attached %v", pair)
	}
	s.spaces[onNode], s.address[onNode] = s.space, gateway(usual.subnet)
	for i := range pair.Spaces {
		if s.spaces[i+1], err = os.Open(pair.Spaces[i]); err != nil {
			return nil, err
		}
		s.address[i+1] = pair.Addresses[i]
	}
	for _, where := range []place{onNode, secondPod} {
		one, err := s.serve(ctx, s.spaces[where])
		if err != nil {
			return nil, err
		}
		s.servers = append(s.servers, one)
	}
	return s, nil
}

// gateway is the first address of a subnet: the bridge's.
func gateway(subnet string) string {
	ip, _, err := net.ParseCIDR(subnet)
	if err != nil {
		return ""
	}
	ip = ip.To4()
	ip[3]++
	return ip.String()
}

func (s *site) close() error {
	for _, one := range s.servers {
		one.stop()
	}
	for _, space := range s.spaces[1:] {
		if space != nil {
			space.Close()
		}
	}
	return s.stop()
}

// measureTraffic compares each way with the loopback interface of its node, just before. The nodes take turns.
func (b *bench) measureTraffic(ctx context.Context, n *nodes) error {
	for range trafficTurns {
		for i, w := range ways {
			for _, s := range b.subjects() {
				loss, err := b.measureLoss(ctx, n.of(s), w)
				if err != nil {
					return fmt.Errorf("%s: %s: %w", s.name, w.what, err)
				}
				s.net.loss[i] = append(s.net.loss[i], loss)
			}
		}
	}
	return nil
}

// measureLoss returns percents.
func (b *bench) measureLoss(ctx context.Context, s *site, w way) (float64, error) {
	straight, err := s.talk(ctx, s.space, w.kind, "127.0.0.1", b.traffic)
	if err != nil {
		return 0, err
	}
	rate, err := s.talk(ctx, s.spaces[w.from], w.kind, s.address[w.to], b.traffic)
	return 100 * (1 - rate/straight), err
}

// trafficTurns is how often each node's traffic is measured in a round.
const trafficTurns = 5

// measureGrowth attaches pods until there are many. The programs are left out with many, they would need minutes.
func (b *bench) measureGrowth(ctx context.Context) error {
	return b.withPodnet(ctx, func(program string) error {
		for i, s := range b.subjects() {
			pods := b.many
			if i > 0 {
				pods = b.few
			}
			say("network: %s, %d pods", s.name, pods)
			n, err := startNode(ctx, program, b.bin("tools"), i == 0)
			if err != nil {
				return err
			}
			said, err := n.order("grow %d %d", pods, min(growDel, pods))
			if err == nil {
				window := min(growWindow, pods/2)
				s.net.first, s.net.last, s.net.lastDel = median(said.Add[:window]), median(said.Add[pods-window:]), median(said.Del)
			}
			if err = errors.Join(err, n.stop()); err != nil {
				return err
			}
		}
		return nil
	})
}
