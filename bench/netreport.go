// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
)

// lossTolerance is by how many points two measurements of the same thing differ.
const lossTolerance = 2

// addNetwork adds the promises of pods' networks.
func (r *report) addNetwork(s, p *netSeries) {
	t := &r.network
	t.atMost("network ADD, p50", median(s.add), median(p.add), 3, "ms")
	t.atMost("network DEL, p50", median(s.del), median(p.del), 2, "ms")
	t.atMost("pod ready, bridge and a port of the node, 1 worker, p50", median(s.ready), median(p.ready), 12, "ms")
	t.atLeast("whole pod lifecycles per second, the same, 4 workers", median(s.four), median(p.four), 60)
	t.atMost(fmt.Sprintf("ADD p50, last %d of %d pods over the first (containerd: %d)", growWindow, r.effort.many, r.effort.few),
		ratio(s.last, s.first), ratio(p.last, p.first), 1.5, "")
	for i, way := range ways {
		t.noMore(way.what+", loss", median(s.loss[i]), median(p.loss[i]))
	}
	t.info("StopPodSandbox, 1 worker, p50", median(s.stop), median(p.stop), "ms")
	t.info(fmt.Sprintf("ADD p50, first %d pods", growWindow), s.first, p.first, "ms")
	t.info(fmt.Sprintf("ADD p50, last %d pods", growWindow), s.last, p.last, "ms")
	t.info("DEL p50 with all these pods", s.lastDel, p.lastDel, "ms")
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// noMore is a target for percents that the peer loses in the same run, too.
func (r *rows) noMore(what string, ours, theirs float64) {
	*r = append(*r, row{
		what: what, ours: ours, theirs: theirs, unit: "%",
		target: fmt.Sprintf("at most theirs, within %d points", lossTolerance),
		pass:   ours <= theirs+lossTolerance,
	})
}

// networkHeading says how networks are measured.
const networkHeading = `
## Network

A bridge with masquerading, host-local addresses, the loopback interface and for each pod a port of the node mapped by portmap: in sardined the plugins
are functions of its own, containerd executes the reference plugins. Both read the same configuration.

ADD and DEL are timed around all plugins of a pod (` + "`bench/podnet`" + `), one pod after the other, in namespaces that are there already: of sardined its
own package for networks, of containerd libcni as it uses it, the loopback plugin beside the bridge's. The many pods are namespaces, too: nothing runs
in them. Ready and whole lives are those of ` + "`sardine stress --cri --host-port`" + ` with fresh daemons, as above.

Loss is what is missing to the same between two programs of the node over its own loopback interface, measured a second before: one TCP connection that
is written to, or four that ask for pages of 1 KB. Each figure is the median of all rounds, five in each. The server stays on the first processor and its
client on the last one: where the kernel may move them, the same thing differs by twenty points from one second to the next.
`

func (r *report) writeNetwork(w io.Writer) {
	fmt.Fprint(w, networkHeading)
	writeRows(w, r.network)
}
