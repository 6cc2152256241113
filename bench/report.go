// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sardine-run/sardine/internal/stress"
)

// report is what was measured, with targets.
type report struct {
	containers rows
	pods       rows
	stops      rows
	network    rows
	echo       echo
	phases     []phaseRow
	podPhases  []phaseRow
	density    *densityReport // nil when it was not measured
	machine    machine
	effort     effort
}

// row is one line of the table of promises.
type row struct {
	what   string
	ours   float64
	theirs float64 // 0: nothing to compare with
	unit   string
	ratio  string // "3.1 times" or empty
	target string
	pass   bool
}

// rows are those of one table.
type rows []row

// phaseRow is the median of one phase in milliseconds: ours and theirs with
// one worker, then with four; of pods, in the node's network and with a bridge.
type phaseRow struct {
	name   string
	median [4]float64
}

func (b *bench) report() *report {
	r := &report{machine: thisMachine(), effort: b.effort}
	if b.wants(containerSection) {
		r.addContainers(b)
	}
	if b.wants(podSection) {
		r.addPods(&b.ourPods, &b.peerPods)
	}
	if b.wants(stopSection) {
		r.addStops(&b.ourStops, &b.peerStops)
		r.echo = b.echo
	}
	if b.wants(networkSection) {
		r.addNetwork(&b.ourNet, &b.peerNet)
	}
	if b.wants(densitySection) {
		r.density = b.density.report(b.effort)
	}
	return r
}

// addContainers adds the promises of the daemon without CRI.
func (r *report) addContainers(b *bench) {
	s, p, t := &b.sardine, &b.peer, &r.containers
	t.faster("create/start/delete per second, 4 workers", median(s.four), median(p.four), 8)
	t.faster("create/start/delete per second, 1 worker", median(s.one), median(p.one), 6)
	t.atMost("launch package alone, spec to exited process (beside it: runc run)", median(b.launches), median(b.runc), 5, "ms")
	t.atMost("exec of /bin/true through the tasks API, p50", median(s.exec), median(p.exec), 4, "ms")
	t.atMost("daemon resident memory, idle, empty root", median(s.idle), median(p.idle), 45, "MB")
	t.atMost("daemon (and shim) memory per idle running container", median(s.memory), median(p.memory), 64, "KB")
	t.atMost("host mount table growth per container", median(s.mounts), median(p.mounts), 0, "")
	t.atMost("start-up, empty root", median(s.startUp), median(p.startUp), 100, "ms")
	t.info("create/start/delete per second, 4 workers, `stress --library`", median(s.library), median(p.library), "/s")
	t.info("helper processes per container", median(s.helpers), median(p.helpers), "")
	t.info("node memory (MemAvailable) per idle running container", median(s.node), median(p.node), "KB")
	t.info("daemon CPU per container life, 1 worker", median(s.cpu), median(p.cpu), "ms")
	t.info("client CPU per container life, 1 worker (in all figures)", median(s.clientCPU), median(p.clientCPU), "ms")
	r.phases = phaseRows(s.onePhases, p.onePhases, s.fourPhases, p.fourPhases)
}

// addPods adds the promises of the CRI server.
func (r *report) addPods(s, p *podSeries) {
	t := &r.pods
	t.atMost("pod ready (sandbox and one container), host network, 1 worker, p50", median(s.ready), median(p.ready), 12, "ms")
	t.atMost("pod ready with bridge CNI as plugin binaries, p50", median(s.bridge), median(p.bridge), 60, "ms")
	t.atMost("of which not the plugins", median(s.own), median(p.own), 12, "ms")
	t.atMost("CreateContainer + StartContainer, p50", median(s.createStart), median(p.createStart), 8, "ms")
	t.atMost("ExecSync of /bin/true, p50", median(s.exec), median(p.exec), 4, "ms")
	t.faster("whole pod lifecycles per second, host network, 4 workers", median(s.four), median(p.four), 8)
	t.info("CNI plugins per pod, ADD", median(s.plugins), median(p.plugins), "ms")
	t.info("daemon CPU per pod life, host network, 1 worker", median(s.cpu), median(p.cpu), "ms")
	r.podPhases = phaseRows(s.phases, p.phases, s.bridged, p.bridged)
}

// faster is a target that is a multiple of the peer in the same run.
func (r *rows) faster(what string, ours, theirs, times float64) {
	*r = append(*r, row{
		what: what, ours: ours, theirs: theirs, unit: "/s",
		ratio:  fmt.Sprintf("%.1f times", ours/theirs),
		target: fmt.Sprintf("at least %g times", times),
		pass:   ours >= times*theirs,
	})
}

// sooner is a target for seconds that the peer takes a multiple of in the same run.
func (r *rows) sooner(what string, ours, theirs, times float64) {
	*r = append(*r, row{
		what: what, ours: ours, theirs: theirs, unit: "s",
		ratio:  fmt.Sprintf("%.1f times", theirs/ours),
		target: fmt.Sprintf("at least %g times", times),
		pass:   theirs >= times*ours,
	})
}

// atLeast is an absolute target per second.
func (r *rows) atLeast(what string, ours, theirs, limit float64) {
	*r = append(*r, row{
		what: what, ours: ours, theirs: theirs, unit: "/s", ratio: share(ours, theirs),
		target: fmt.Sprintf("at least %g/s", limit),
		pass:   ours >= limit,
	})
}

// atMost is an absolute target; the peer is there to compare.
func (r *rows) atMost(what string, ours, theirs, limit float64, unit string) {
	*r = append(*r, row{
		what: what, ours: ours, theirs: theirs, unit: unit, ratio: share(ours, theirs),
		target: strings.TrimSpace(fmt.Sprintf("at most %g %s", limit, unit)),
		pass:   ours <= limit,
	})
}

// info has no target.
func (r *rows) info(what string, ours, theirs float64, unit string) {
	*r = append(*r, row{what: what, ours: ours, theirs: theirs, unit: unit, ratio: share(ours, theirs), pass: true})
}

// share says how much smaller ours is.
func share(ours, theirs float64) string {
	if ours <= 0 || theirs <= 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", ours/theirs)
}

// phaseRows have one row for each phase that any of the four went through.
func phaseRows(from ...phaseSeries) []phaseRow {
	var rows []phaseRow
	for phase := stress.RunPodSandbox; phase <= stress.Total; phase++ {
		name := phase.String()
		row := phaseRow{name: name}
		for i := range from {
			row.median[i] = median(from[i][name])
		}
		if row.median != [4]float64{} {
			rows = append(rows, row)
		}
	}
	return rows
}

// all are the rows of the tables that compare the same things.
func (r *report) all() rows { return slices.Concat(r.containers, r.pods, r.stops, r.network) }

func (r *report) missed() int {
	n := 0
	for _, row := range r.all() {
		if !row.pass {
			n++
		}
	}
	if r.density != nil {
		n += r.density.missed()
	}
	return n
}

// writeFile replaces the results, but for what was written by hand below the
// marker line.
func (r *report) writeFile(name string) error {
	var b strings.Builder
	r.writeMarkdown(&b)
	if old, err := os.ReadFile(name); err == nil {
		if _, notes, found := strings.Cut(string(old), notesMarker); found {
			b.WriteString("\n" + notesMarker + notes)
		}
	}
	return os.WriteFile(name, []byte(b.String()), 0o644)
}

// notesMarker starts the part of RESULTS.md that is not generated.
const notesMarker = "## Where the time goes\n"

func (r *report) writeMarkdown(w io.Writer) {
	fmt.Fprintf(w, "# Results\n\nWritten by `make bench` on %s. Medians of %d rounds, sardined and containerd in turns;\n", time.Now().Format(time.DateOnly), r.effort.rounds)
	fmt.Fprintf(w, "each stress run takes %s, memory is that of %d idle containers. Both daemons run the same set of\n", r.effort.stress, r.effort.hold)
	fmt.Fprintf(w, "plugins (CRI off, but for the pods below) and are driven by the same `sardine stress`, one API call per step; with `--library` it makes\nthe three times as many calls that containerd's client library makes for a container.\n\n")
	r.machine.writeMarkdown(w)
	writeRows(w, r.containers)
	fmt.Fprint(w, "\nMedian of each step of a container's life in ms:\n\n")
	writePhases(w, r.phases, "1 worker", "4 workers")
	fmt.Fprint(w, podsHeading)
	writeRows(w, r.pods)
	fmt.Fprint(w, "\nMedian of each step of a pod's life in ms, 1 worker:\n\n")
	writePhases(w, r.podPhases, "host network", "bridge")
	r.writeStops(w)
	r.writeNetwork(w)
	if r.density != nil {
		r.density.writeMarkdown(w)
	}
}

// podsHeading says how pods are measured.
const podsHeading = `
## Pods

The same daemons with CRI on, each in a network namespace of its own, driven by ` + "`sardine stress --cri`" + `: pods of one
container that writes its log to a file. The bridge network is that of the stock plugins bridge, host-local, portmap and, where the
daemon starts it, loopback, executed by both (in_process = false in sardined's configuration; see the section on networks for the other case). The time of plugins is that from the start of each to its end, taken in a further run by
` + "`bench/timedplugin`" + ` in their place, summed up per pod; what is not theirs is the difference of the medians. The same tiny
image is containerd's pause image.
`

func writeRows(w io.Writer, rows []row) {
	fmt.Fprint(w, "\n| what | sardined | containerd + runc | ratio | target | |\n| --- | ---: | ---: | ---: | --- | --- |\n")
	for _, row := range rows {
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s |\n", row.what, row.number(row.ours), row.number(row.theirs), row.ratio, row.target, row.verdict())
	}
}

func writePhases(w io.Writer, rows []phaseRow, left, right string) {
	fmt.Fprintf(w, "| step | sardined, %[1]s | containerd, %[1]s | sardined, %[2]s | containerd, %[2]s |\n| --- | ---: | ---: | ---: | ---: |\n", left, right)
	for _, p := range rows {
		fmt.Fprintf(w, "| %s | %.2f | %.2f | %.2f | %.2f |\n", p.name, p.median[0], p.median[1], p.median[2], p.median[3])
	}
}

func (r *report) writeTable(w io.Writer) {
	for _, row := range r.all() {
		fmt.Fprintf(w, "%-68s %12s  %12s  %-11s %-18s %s\n", row.what, row.number(row.ours), row.number(row.theirs), row.ratio, row.target, row.verdict())
	}
	r.writeEcho(w)
	if r.density != nil {
		r.density.writeTable(w)
	}
}

func (r row) verdict() string {
	switch {
	case r.target == "":
		return ""
	case r.pass:
		return "pass"
	}
	return "MISS"
}

func (r row) number(n float64) string {
	n += 0 // -0 becomes 0
	unit := r.unit
	if unit != "" && unit != "/s" {
		unit = " " + unit
	}
	switch {
	case n == 0 || n >= 100 || n <= -100:
		return fmt.Sprintf("%.0f%s", n, unit)
	case n >= 10:
		return fmt.Sprintf("%.1f%s", n, unit)
	}
	return fmt.Sprintf("%.2f%s", n, unit)
}

// median of an even number of values is the mean of the middle two.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
