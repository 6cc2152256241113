// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sardine-run/sardine/internal/stress"
)

// densityReport is the section about idle pods.
type densityReport struct {
	few, many int
	rows      []densityRow
	kinds     []densityRow
}

// densityRow has a figure for each column that has one; negative ones are not
// shown.
type densityRow struct {
	what    string
	figures [densityColumns]float64
	unit    string
	target  string
	pass    bool
}

// Columns of the density's tables.
const (
	ourFew = iota
	ourMany
	theirFew
	floorFew
	floorMany
	densityColumns
)

// none is for a column that was not measured.
const none = -1e9

func figures(ourFew, ourMany, theirFew, floorFew, floorMany float64) [densityColumns]float64 {
	return [densityColumns]float64{ourFew, ourMany, theirFew, floorFew, floorMany}
}

// Targets of the density.
const (
	nodeKB      = 600
	timesFloor  = 2
	daemonKB    = 40
	idlePercent = 0.3
	recoverFew  = 0.25 // seconds
	recoverMany = 1.0
	readyRatio  = 1.3
	threads     = 64
)

func (d *density) report(e effort) *densityReport {
	r := &densityReport{few: e.few, many: e.many}
	node := d.each(func(p population) float64 { return p.held.NodeKB })
	node[floorFew], node[floorMany] = d.fewFloor.Node, d.manyFloor.Node
	r.add("node memory (MemAvailable) per pod, bridge", node, "KB", fmt.Sprintf("at most %d KB", nodeKB), node[ourFew] <= nodeKB && node[ourMany] <= nodeKB)
	r.add("the same, times the bare floor", figures(node[ourFew]/node[floorFew], node[ourMany]/node[floorMany], node[theirFew]/node[floorFew], none, none), "",
		fmt.Sprintf("at most %d times", timesFloor), node[ourFew] <= timesFloor*node[floorFew] && node[ourMany] <= timesFloor*node[floorMany])
	r.limit("daemon memory (RSS) per pod", d.each(func(p population) float64 { return p.held.DaemonKB }), "KB", daemonKB)
	r.limit("daemon CPU with idle pods, of a core", d.idle(), "%", idlePercent)
	recovery := d.each(func(p population) float64 { return p.recovery.Seconds() })
	r.add("kill -9, start, until CRI lists all pods", recovery, "s", fmt.Sprintf("at most %g and %g s", recoverFew, recoverMany), recovery[ourFew] <= recoverFew && recovery[ourMany] <= recoverMany)
	r.limit("pod ready p50, last 50 over first 50, host network", figures(none, d.host.growth(), none, none, none), "", readyRatio)
	growth := d.each(func(p population) float64 { return p.growth() })
	r.limit("the same with the bridge, without the time of plugin programs", growth, "", readyRatio)
	r.limit("threads of the daemon", d.each(func(p population) float64 { return float64(p.held.While.Threads) }), "", threads)
	r.info("pod ready p50, first 50, bridge", d.each(func(p population) float64 { return p.held.Ready.First }), "ms")
	r.info("of which plugins", d.each(func(p population) float64 { return p.first }), "ms")
	r.info("pod ready p50, last 50, bridge", d.each(func(p population) float64 { return p.held.Ready.Last }), "ms")
	r.info("of which plugins", d.each(func(p population) float64 { return p.last }), "ms")
	r.info("daemon and helpers per pod", d.each(func(p population) float64 { return p.held.RuntimeKB }), "KB")
	r.info("helper processes per pod", d.each(func(p population) float64 { return p.held.Helpers }), "")
	r.info("descriptors of the daemon per pod", d.each(func(p population) float64 { return p.held.Files }), "")
	r.info("host mount table per pod", d.each(func(p population) float64 { return p.held.Mounts }), "")
	r.info("bare floor with one cgroup", figures(none, none, none, d.fewOneCgroup.Node, d.manyOneCgroup.Node), "KB")
	r.addKinds(d)
	return r
}

// each is the median of a figure in the columns of pods.
func (d *density) each(figure func(population) float64) [densityColumns]float64 {
	return figures(d.few.of(figure), d.many.of(figure), d.peer.of(figure), none, none)
}

// idle takes the rounds in which the daemon was idle for longer than to settle.
func (d *density) idle() [densityColumns]float64 {
	measured := func(p populations) float64 {
		p = slices.DeleteFunc(slices.Clone(p), func(one population) bool {
			return one.held.Idle == nil || one.held.Idle.Seconds < 2*stress.Rest.Seconds()
		})
		if len(p) == 0 {
			return none
		}
		return p.of(func(one population) float64 { return one.held.Idle.DaemonCPU })
	}
	return figures(measured(d.few), measured(d.many), measured(d.peer), none, none)
}

// addKinds splits up what the node's memory is used for.
func (r *densityReport) addKinds(d *density) {
	for i, kind := range d.fewFloor.Kinds {
		row := d.each(func(p population) float64 { return p.held.KindsKB[i].KB })
		row[floorFew], row[floorMany] = kind.KB, d.manyFloor.Kinds[i].KB
		r.kinds = append(r.kinds, densityRow{what: kind.Name, figures: row, unit: "KB"})
	}
}

func (r *densityReport) add(what string, figures [densityColumns]float64, unit, target string, pass bool) {
	r.rows = append(r.rows, densityRow{what, figures, unit, target, pass})
}

// limit is a target for both of ours.
func (r *densityReport) limit(what string, figures [densityColumns]float64, unit string, limit float64) {
	target := fmt.Sprintf("at most %g", limit)
	if unit != "" {
		target += " " + unit
	}
	r.add(what, figures, unit, target, figures[ourFew] <= limit && figures[ourMany] <= limit)
}

func (r *densityReport) info(what string, figures [densityColumns]float64, unit string) {
	r.add(what, figures, unit, "", true)
}

func (r *densityReport) missed() int {
	n := 0
	for _, row := range r.rows {
		if !row.pass {
			n++
		}
	}
	return n
}

func (r densityRow) verdict() string { return row{target: r.target, pass: r.pass}.verdict() }

// cells are the figures as text.
func (r densityRow) cells() []string {
	cells := make([]string, densityColumns)
	for i, f := range r.figures {
		if f != none {
			cells[i] = row{unit: r.unit}.number(f)
		}
	}
	return cells
}

func (r *densityReport) columns() []string {
	return []string{
		fmt.Sprintf("sardined, %d", r.few), fmt.Sprintf("sardined, %d", r.many), fmt.Sprintf("containerd, %d", r.few),
		fmt.Sprintf("floor, %d", r.few), fmt.Sprintf("floor, %d", r.many),
	}
}

func (r *densityReport) writeMarkdown(w io.Writer) {
	const align = " ---: | ---: | ---: | ---: | ---: |"
	columns := strings.Join(r.columns(), " | ")
	fmt.Fprintf(w, "%s\n| what | %s | target | |\n| --- |%s --- | --- |\n", densityHeading, columns, align)
	for _, one := range r.rows {
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", one.what, strings.Join(one.cells(), " | "), one.target, one.verdict())
	}
	fmt.Fprintf(w, "\nWhat the node's memory is used for, per pod (/proc/meminfo; what can be reclaimed counts as available):\n\n| kind | %s |\n| --- |%s\n", columns, align)
	for _, one := range r.kinds {
		fmt.Fprintf(w, "| %s | %s |\n", one.what, strings.Join(one.cells(), " | "))
	}
}

func (r *densityReport) writeTable(w io.Writer) {
	line := func(what string, cells []string, rest string) {
		fmt.Fprintf(w, "%-56s", what)
		for _, cell := range cells {
			fmt.Fprintf(w, " %15s", cell)
		}
		fmt.Fprintf(w, "  %s\n", rest)
	}
	line("", r.columns(), "")
	for _, one := range append(slices.Clone(r.rows), r.kinds...) {
		line(one.what, one.cells(), one.target+" "+one.verdict())
	}
}

// densityHeading says how the density is measured.
const densityHeading = `
## Density

Idle pods of one container with a configuration like a kubelet's, all in one daemon, made one after the other by ` + "`sardine stress --cri --hold`" + `:
labels, annotations, environment, three mounts, masked paths. The bridge network is that of the plugins bridge and host-local, in sardined functions of
its own, so that the time of plugins is the daemon's; containerd starts the stock plugins and loopback. There is no masquerading and there are no port mappings. containerd is left out with many pods: it would need minutes and gigabytes.
Memory is sampled before the first pod and after the last one, when the daemon has had nothing to do for 15 s and MemAvailable has settled: after sync(2),
when it changes by less than 256 KB in a second, but after five seconds at most. Nothing is dropped or compacted; the anonymous memory
of processes that have nothing to do with it, the measuring one's too, is not counted. The floor
(` + "`bench/floor`" + `) is as many processes with the namespaces, cgroups, overlay root, mounts and bridge network of a pod, made by nobody's
runtime; it runs last, because the kernel keeps for each memory cgroup what the greatest number of file systems ever needed.
The killed daemon is started again at once, and the time is that until CRI lists the same pods and containers in the same states.
`
