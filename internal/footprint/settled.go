// SPDX-License-Identifier: Apache-2.0

package footprint

import (
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// pulse is how often a node that comes to rest is looked at. The kernel sums
	// up its per-CPU counters once a second.
	pulse = time.Second
	// restless is how many KB MemAvailable may change in that time.
	restless = 256
	// patience is how often at most.
	patience = 5
)

// Settled takes a sample once the node has come to rest: what a daemon does
// after its last answer and what the kernel does later (RCU, work queues) takes
// moments. Nothing is dropped or compacted. This process gives back what it can.
func Settled(daemon int, containers []int) (Sample, error) {
	debug.FreeOSMemory()
	unix.Sync()
	last, err := Take(daemon, containers)
	for i := 0; i < patience && err == nil; i++ {
		time.Sleep(pulse)
		before := last.Available
		last, err = Take(daemon, containers)
		if change := last.Available - before; change < restless && change > -restless {
			break
		}
	}
	return last, err
}
