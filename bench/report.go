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
	rows    []row
	phases  []phaseRow
	machine machine
	effort  effort
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

// phaseRow is the median of one phase in milliseconds: ours and theirs with
// one worker, then with four.
type phaseRow struct {
	name   string
	median [4]float64
}

func (b *bench) report() *report {
	s, p := &b.sardine, &b.peer
	r := &report{machine: thisMachine(), effort: b.effort}
	r.faster("create/start/delete per second, 4 workers", median(s.four), median(p.four), 8)
	r.faster("create/start/delete per second, 1 worker", median(s.one), median(p.one), 6)
	r.atMost("launch package alone, spec to exited process (beside it: runc run)", median(b.launches), median(b.runc), 5, "ms")
	r.atMost("exec of /bin/true through the tasks API, p50", median(s.exec), median(p.exec), 4, "ms")
	r.atMost("daemon resident memory, idle, empty root", median(s.idle), median(p.idle), 45, "MB")
	r.atMost("daemon (and shim) memory per idle running container", median(s.memory), median(p.memory), 64, "KB")
	r.atMost("host mount table growth per container", median(s.mounts), median(p.mounts), 0, "")
	r.atMost("start-up, empty root", median(s.startUp), median(p.startUp), 100, "ms")
	r.info("create/start/delete per second, 4 workers, `stress --library`", median(s.library), median(p.library), "/s")
	r.info("helper processes per container", median(s.helpers), median(p.helpers), "")
	r.info("node memory (MemAvailable) per idle running container", median(s.node), median(p.node), "KB")
	r.info("daemon CPU per container life, 1 worker", median(s.cpu), median(p.cpu), "ms")
	r.info("client CPU per container life, 1 worker (in all figures)", median(s.clientCPU), median(p.clientCPU), "ms")
	r.addPhases(s, p)
	return r
}

// faster is a target that is a multiple of the peer in the same run.
func (r *report) faster(what string, ours, theirs, times float64) {
	r.rows = append(r.rows, row{
		what: what, ours: ours, theirs: theirs, unit: "/s",
		ratio:  fmt.Sprintf("%.1f times", ours/theirs),
		target: fmt.Sprintf("at least %g times", times),
		pass:   ours >= times*theirs,
	})
}

// atMost is an absolute target; the peer is there to compare.
func (r *report) atMost(what string, ours, theirs, limit float64, unit string) {
	r.rows = append(r.rows, row{
		what: what, ours: ours, theirs: theirs, unit: unit, ratio: share(ours, theirs),
		target: strings.TrimSpace(fmt.Sprintf("at most %g %s", limit, unit)),
		pass:   ours <= limit,
	})
}

// info has no target.
func (r *report) info(what string, ours, theirs float64, unit string) {
	r.rows = append(r.rows, row{what: what, ours: ours, theirs: theirs, unit: unit, ratio: share(ours, theirs), pass: true})
}

// share says how much smaller ours is.
func share(ours, theirs float64) string {
	if ours <= 0 || theirs <= 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", ours/theirs)
}

func (r *report) addPhases(s, p *series) {
	for phase := stress.CreateContainer; phase <= stress.Total; phase++ {
		name := phase.String()
		row := phaseRow{name: name}
		for i, from := range []phaseSeries{s.onePhases, p.onePhases, s.fourPhases, p.fourPhases} {
			row.median[i] = median(from[name])
		}
		if row.median != [4]float64{} {
			r.phases = append(r.phases, row)
		}
	}
}

func (r *report) missed() int {
	n := 0
	for _, row := range r.rows {
		if !row.pass {
			n++
		}
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
	fmt.Fprintf(w, "plugins (CRI off) and are driven by the same `sardine stress`, one API call per step; with `--library` it makes\nthe three times as many calls that containerd's client library makes for a container.\n\n")
	r.machine.writeMarkdown(w)
	fmt.Fprint(w, "\n| what | sardined | containerd + runc | ratio | target | |\n| --- | ---: | ---: | ---: | --- | --- |\n")
	for _, row := range r.rows {
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s |\n", row.what, row.number(row.ours), row.number(row.theirs), row.ratio, row.target, row.verdict())
	}
	fmt.Fprint(w, "\nMedian of each step of a container's life in ms:\n\n| step | sardined, 1 worker | containerd, 1 worker | sardined, 4 workers | containerd, 4 workers |\n| --- | ---: | ---: | ---: | ---: |\n")
	for _, p := range r.phases {
		fmt.Fprintf(w, "| %s | %.2f | %.2f | %.2f | %.2f |\n", p.name, p.median[0], p.median[1], p.median[2], p.median[3])
	}
}

func (r *report) writeTable(w io.Writer) {
	for _, row := range r.rows {
		fmt.Fprintf(w, "%-68s %12s  %12s  %-11s %-18s %s\n", row.what, row.number(row.ours), row.number(row.theirs), row.ratio, row.target, row.verdict())
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
