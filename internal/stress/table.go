// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"fmt"
	"io"
)

// WriteTable writes the result for people.
func (r *Result) WriteTable(w io.Writer) {
	noun, where := "container", "snapshotter "+r.Snapshotter
	if r.Network != "" {
		noun, where = "pod", "network "+r.Network
	}
	fmt.Fprintf(w, "%s at %s (version %s), %s\n", r.Runtime, r.Address, r.DaemonVersion, where)
	if r.Seconds > 0 {
		fmt.Fprintf(w, "%s, %d %ss in %.1f s: %.1f per second\n", plural(r.Concurrency, "worker"), r.Containers, noun, r.Seconds, r.Rate)
	}
	if r.Containers > 0 {
		fmt.Fprintf(w, "CPU per %s: daemon %.2f ms, this client %.2f ms\n", noun, r.DaemonCPU, r.ClientCPU)
	}
	fmt.Fprintln(w)
	r.writePhases(w)
	if r.Hold != nil {
		r.Hold.writeTable(w, noun)
	}
	if r.Stop != nil {
		r.Stop.writeTable(w, r.Concurrency)
	}
	if r.Probe != nil {
		r.Probe.writeTable(w, r.Concurrency)
	}
	r.writeErrors(w)
}

func (r *Result) writePhases(w io.Writer) {
	if len(r.Phases) == 0 {
		return
	}
	fmt.Fprintf(w, "%-18s %8s %11s %9s %9s %9s %9s %9s\n", "phase", "count", "per second", "min ms", "p50 ms", "p90 ms", "p99 ms", "max ms")
	for _, p := range r.Phases {
		fmt.Fprintf(w, "%-18s %8d %11.1f %9.2f %9.2f %9.2f %9.2f %9.2f\n", p.Name, p.Count, p.Rate, p.Min, p.P50, p.P90, p.P99, p.Max)
	}
}

func (r *Result) writeErrors(w io.Writer) {
	if r.Interrupted {
		fmt.Fprintln(w, "\ninterrupted; the figures are of the part that ran")
	}
	if r.Errors == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s:\n", plural(r.Errors, "error"))
	for _, kind := range r.ErrorKinds {
		fmt.Fprintf(w, "  %d times: %s\n", kind.Count, kind.Text)
	}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
