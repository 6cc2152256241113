// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/sardine-run/sardine/internal/footprint"
)

// HoldResult says what a number of idle containers, or pods of one container,
// cost the node.
type HoldResult struct {
	Running int              `json:"running"` // containers that were up
	Before  footprint.Sample `json:"before"`
	While   footprint.Sample `json:"while"`
	After   footprint.Sample `json:"after"` // deleted again

	// KB per container: of the node's available memory, but for what processes
	// took that have nothing to do with it; of the daemon's memory: resident,
	// with shared pages divided, and without those of files; and of what is
	// resident plus the daemon's helper processes.
	NodeKB       float64 `json:"nodeKBPerContainer"`
	DaemonKB     float64 `json:"daemonKBPerContainer"`
	DaemonPSSKB  float64 `json:"daemonPSSKBPerContainer"`
	DaemonHeapKB float64 `json:"daemonHeapKBPerContainer"`
	RuntimeKB    float64 `json:"runtimeKBPerContainer"`

	// What the node's memory is used for, in KB per container.
	KindsKB []footprint.Kind `json:"kindsKBPerContainer"`

	Mounts  float64 `json:"mountsPerContainer"`
	Helpers float64 `json:"helpersPerContainer"`
	Files   float64 `json:"daemonFilesPerContainer"`

	Ready *ReadyResult `json:"ready,omitempty"`
	Idle  *IdleResult  `json:"idle,omitempty"`
}

// ReadyResult compares how long the first and the last ones took.
type ReadyResult struct {
	Window     int    `json:"window"` // how many first and how many last ones
	Comparison        // of the whole
	Steps      []Step `json:"steps"`
}

// Comparison is of medians, in milliseconds.
type Comparison struct {
	First float64 `json:"firstP50Ms"`
	Last  float64 `json:"lastP50Ms"`
	Ratio float64 `json:"ratio"`
}

// Step is what became of one phase.
type Step struct {
	Name string `json:"name"`
	Comparison
}

// IdleResult is about a time during which nobody asked for anything.
type IdleResult struct {
	Seconds   float64 `json:"seconds"`
	DaemonCPU float64 `json:"daemonCPUPercent"` // of one core
	DaemonRSS int64   `json:"daemonRSSKB"`      // at its end
}

// readyWindow is how many first and last ones are compared.
const readyWindow = 50

// setReady compares the times of the way up, in their order. Of few, each is
// either among the first or among the last.
func (h *HoldResult) setReady(times *recorder) {
	n := min(readyWindow, len(times[Total])/2)
	if n == 0 {
		return
	}
	h.Ready = &ReadyResult{Window: n, Comparison: compare(times[Total], n)}
	for p := range Total {
		if len(times[p]) >= 2*n {
			h.Ready.Steps = append(h.Ready.Steps, Step{p.String(), compare(times[p], n)})
		}
	}
}

// compare takes the first n and the last n of them.
func compare(took []time.Duration, n int) Comparison {
	p50 := func(some []time.Duration) float64 {
		return milliseconds(percentile(slices.Sorted(slices.Values(some)), 50))
	}
	c := Comparison{First: p50(took[:n]), Last: p50(took[len(took)-n:])}
	c.Ratio = math.Round(c.Last/c.First*1000) / 1000
	return c
}

func (h *HoldResult) divide() {
	before, while := h.Before, h.While
	per := func(n int64) float64 { return footprint.Each(n, h.Running) }
	growth := footprint.GrowthOf(before, while, h.Running)
	h.NodeKB, h.KindsKB = growth.Node, growth.Kinds
	h.DaemonKB = per(while.DaemonRSS - before.DaemonRSS)
	h.DaemonPSSKB = per(while.DaemonPSS - before.DaemonPSS)
	h.DaemonHeapKB = per(while.DaemonHeap - before.DaemonHeap)
	h.RuntimeKB = per(while.DaemonRSS - before.DaemonRSS + while.HelperPSS - before.HelperPSS)
	h.Mounts = per(int64(while.Mounts - before.Mounts))
	h.Helpers = per(int64(while.Helpers - before.Helpers))
	h.Files = per(int64(while.DaemonFiles - before.DaemonFiles))
}

func (h *HoldResult) writeTable(w io.Writer, noun string) {
	fmt.Fprintf(w, "\n%d %ss held, per %s:\n", h.Running, noun, noun)
	fmt.Fprintf(w, "  node memory (MemAvailable)  %9.1f KB\n", h.NodeKB)
	for _, kind := range h.KindsKB {
		fmt.Fprintf(w, "    %-25s %9.1f KB\n", kind.Name, kind.KB)
	}
	fmt.Fprintf(w, "  daemon memory (RSS)         %9.1f KB (PSS %.1f, heap and stacks %.1f)\n", h.DaemonKB, h.DaemonPSSKB, h.DaemonHeapKB)
	fmt.Fprintf(w, "  daemon and its helpers      %9.1f KB\n", h.RuntimeKB)
	fmt.Fprintf(w, "  helper processes            %9.1f\n", h.Helpers)
	fmt.Fprintf(w, "  descriptors of the daemon   %9.1f\n", h.Files)
	fmt.Fprintf(w, "  host mount table            %9.1f\n", h.Mounts)
	fmt.Fprintf(w, "daemon RSS: %d KB before, %d KB while, %d KB after\n", h.Before.DaemonRSS, h.While.DaemonRSS, h.After.DaemonRSS)
	fmt.Fprintf(w, "daemon threads: %d before, %d while; descriptors: %d before, %d while\n", h.Before.Threads, h.While.Threads, h.Before.DaemonFiles, h.While.DaemonFiles)
	if h.Ready != nil {
		fmt.Fprintf(w, "ready, p50: %.2f ms of the first %d, %.2f ms of the last: %.2f times\n", h.Ready.First, h.Ready.Window, h.Ready.Last, h.Ready.Ratio)
		for _, step := range h.Ready.Steps {
			fmt.Fprintf(w, "  %-18s %9.2f ms %9.2f ms %9.2f times\n", step.Name, step.First, step.Last, step.Ratio)
		}
	}
	if h.Idle != nil {
		fmt.Fprintf(w, "idle for %.0f s: daemon CPU %.2f %% of a core, RSS %d KB at the end\n", h.Idle.Seconds, h.Idle.DaemonCPU, h.Idle.DaemonRSS)
	}
}
