// SPDX-License-Identifier: Apache-2.0

// Command bench measures sardined beside containerd and runc on the same
// machine, in turns, and writes the medians with their targets to
// bench/RESULTS.md. It is run from the root of the repository as root, after
// make all tools.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// effort is how long the bench measures.
type effort struct {
	rounds     int           // each measures both daemons
	stress     time.Duration // of one stress run
	hold       int           // containers held for the memory per container
	execs      int
	launches   int // iterations of the launch benchmark, 50 to a repetition
	startups   int // extra starts of each daemon, for the start-up time
	runcRepeat int
	few, many  int           // idle pods for the density
	stops      int           // pods stopped at once
	stopTime   time.Duration // that has to be measured before runs of it count
	probed     int           // pods probed at the same time
	execTime   time.Duration // of one run of execs or probes
	probeTime  time.Duration // of the run with many pods
	idle       time.Duration // for which the daemon's CPU time is measured then
	attached   int           // pods attached and detached, for the time that takes
	traffic    time.Duration // of one measurement of a connection
	only       string        // a section, or everything
}

// Sections of the report.
const (
	containerSection = "containers"
	podSection       = "pods"
	stopSection      = "stop"
	networkSection   = "network"
	densitySection   = "density"
)

// wants says whether a section is to be measured.
func (e effort) wants(section string) bool { return e.only == "" || e.only == section }

var (
	full = effort{rounds: 3, stress: 8 * time.Second, hold: 200, execs: 300, launches: 500, startups: 5, runcRepeat: 50,
		stops: 100, stopTime: 500 * time.Millisecond, probed: 200, execTime: 3 * time.Second, probeTime: 20 * time.Second, few: 200, many: 1000, idle: time.Minute,
		attached: 60, traffic: 300 * time.Millisecond}
	quick = effort{rounds: 1, stress: 3 * time.Second, hold: 50, execs: 100, launches: 200, startups: 2, runcRepeat: 10,
		stops: 10, stopTime: 50 * time.Millisecond, probed: 10, execTime: time.Second, probeTime: 3 * time.Second, few: 50, many: 200, idle: 30 * time.Second,
		attached: 20, traffic: 200 * time.Millisecond}
)

func main() {
	isQuick := flag.Bool("quick", false, "one short round")
	strict := flag.Bool("strict", false, "exit status 1 when a target is missed")
	only := flag.String("only", "", "measure only `containers`, pods, stop, network or density, and write no file")
	output := flag.String("output", "bench/RESULTS.md", "`FILE` to write; empty for none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	chosen := full
	if *isQuick {
		chosen = quick
	}
	chosen.only = *only
	if *only != "" {
		*output = ""
	}
	if !slices.Contains([]string{"", containerSection, podSection, stopSection, networkSection, densitySection}, *only) {
		fmt.Fprintf(os.Stderr, "bench: there is no section %q\n", *only)
		os.Exit(2)
	}
	missed, err := run(ctx, chosen, *output)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	if missed > 0 && *strict {
		os.Exit(1)
	}
}

// run returns how many targets were missed.
func run(ctx context.Context, e effort, output string) (int, error) {
	if os.Geteuid() != 0 {
		return 0, errors.New("containers need root; run it with sudo")
	}
	b, err := newBench(e)
	if err != nil {
		return 0, err
	}
	if err := b.measure(ctx); err != nil {
		return 0, err
	}
	report := b.report()
	report.writeTable(os.Stdout)
	if output == "" {
		return report.missed(), nil
	}
	if err := report.writeFile(output); err != nil {
		return 0, err
	}
	fmt.Println("\nwritten to", output)
	return report.missed(), nil
}

// newBench checks that everything to be measured was built.
func newBench(e effort) (*bench, error) {
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	b := &bench{effort: e, root: root}
	programs := []string{"sardine", "sardined", "sardine-init", "tools/containerd", "tools/containerd-shim-runc-v2", "tools/runc", "tools/" + ipam}
	for _, plugin := range chain {
		programs = append(programs, "tools/"+plugin)
	}
	for _, name := range programs {
		if _, err := os.Stat(b.bin(name)); err != nil {
			return nil, fmt.Errorf("%w; run make all tools in the root of the repository first", err)
		}
	}
	return b, nil
}

func (b *bench) bin(name string) string { return filepath.Join(b.root, "bin", name) }
