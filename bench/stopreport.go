// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"time"
)

// answeredShare is how much of the wanted probes has to be answered in time.
const answeredShare = 0.97

// addStops adds the promises of stopping and probing.
func (r *report) addStops(s, p *stopSeries) {
	t := &r.stops
	t.atMost("StopContainer of a process that ends on SIGTERM, p50", median(s.container), median(p.container), 3, "ms")
	t.atMost("StopPodSandbox, host network, p50", median(s.sandbox), median(p.sandbox), 4, "ms")
	for i, workers := range stopWorkers {
		what := fmt.Sprintf("%d pods stopped, %d threads", r.effort.stops, workers)
		if workers == 1 {
			what = fmt.Sprintf("%d pods stopped, 1 thread", r.effort.stops)
		}
		t.sooner(what, median(s.all[i]), median(p.all[i]), 8)
	}
	t.atMost("ExecSync of /bin/true, 1 client, p50", median(s.exec), median(p.exec), 2.5, "ms")
	t.faster(fmt.Sprintf("ExecSync of /bin/true per second, %d clients in one container", execClients), median(s.execRate), median(p.execRate), 4)
	t.atMost("file probe, p50 (beside it: ExecSync of /bin/true)", median(s.probe), median(p.probe), 0.2, "ms")
	t.atMost("CPU per 1,000 file probes (beside it: ExecSync of /bin/true)", median(s.probeCPU), median(p.probeCPU), 0.1, "s")
	t.atMost(fmt.Sprintf("CPU with %d pods, a probe per second in each, of a core", r.effort.probed), median(s.steady), median(p.steady), 1.5, "%")
	t.atLeast(fmt.Sprintf("of these %d probes per second answered", r.effort.probed), median(s.answered), median(p.answered), answeredShare*float64(r.effort.probed))
	t.info(fmt.Sprintf("CPU of the daemon with %d calls of Version per second, of a core", r.effort.probed), median(s.calls), median(p.calls), "%")
	t.info(fmt.Sprintf("ExecSync of /bin/true, %d clients in one container, p50", execClients), median(s.execMany), median(p.execMany), "ms")
	t.info("CPU per 1,000 ExecSync of /bin/true, 1 client", median(s.execCPU), median(p.execCPU), "s")
}

// stopsHeading says how stopping and probing are measured.
const stopsHeading = `
## Stop and probe

Pods of one container in the node's network, with a configuration like a kubelet's, driven by ` + "`sardine stress --cri`" + `.

Stopping (` + "`--stop`" + `): the pods run and have a handler of SIGTERM, which ends the program at once. So many clients as the row has threads
take one pod after the other, as a kubelet does: StopContainer with a grace of 30 s, then StopPodSandbox. The time is that until all are stopped.
The medians of single calls are those with one client. A run is repeated until half a second was measured, but at most 3 times. containerd's stops are measured in one round only.

Executing and probing (` + "`--probe`" + `): all clients share one connection. The file probe is ExecSync of ` + "`" + fileProbe + "`" + `,
which sardined answers itself. containerd has no such thing: beside it stands the cheapest probe by a command that there can be, ExecSync of
/bin/true, a static program of 3 KB. CPU is user and system time (/proc/PID/stat) of the daemon, of its helper processes, shims and
pause, and of every process that one of these has waited for: runc, sardine-init, the commands. Not counted are the client, kernel threads and
the containers' own programs. The many pods have a client each, which probes once a second and, like a kubelet's, waits for the answer; what comes too late for the
next second leaves that out. They are measured in one round only. Calls of Version at the same rate, by one client, tell what of it any call over
gRPC costs.
`

func (r *report) writeStops(w io.Writer) {
	fmt.Fprint(w, stopsHeading)
	writeRows(w, r.stops)
	r.writeEcho(w)
}

// writeEcho tells what no daemon can go below.
func (r *report) writeEcho(w io.Writer) {
	if r.echo == (echo{}) {
		return
	}
	percent := 100 * r.echo.paced.Seconds() * float64(r.effort.probed)
	fmt.Fprintf(w, "\nA thread that only reads a byte from a socket and writes it back, %d times a second, uses %.2f %% of a core on this machine: %.1f us each time,\n"+
		"and %.1f us when one follows the other.\n", r.effort.probed, percent, us(r.echo.paced), us(r.echo.busy))
}

func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
