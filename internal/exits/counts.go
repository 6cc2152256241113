// SPDX-License-Identifier: Apache-2.0

package exits

import "sync/atomic"

// sources lists every Source.
var sources = [...]Source{SourceWaitid, SourceBPF, SourcePidfd, SourceProcfs, SourceUnknown}

// counts has the number of exits for each of sources.
type counts [len(sources)]atomic.Uint64

func (c *counts) add(source Source) {
	for i := range sources {
		if sources[i] == source {
			c[i].Add(1)
		}
	}
}

// Counts tells how many exits were reported since New, for every source, also those
// that had none.
func (w *Watcher) Counts() map[Source]uint64 {
	found := make(map[Source]uint64, len(sources))
	for i, source := range sources {
		found[source] = w.counts[i].Load()
	}
	return found
}

// deliver counts status and has fn called with it.
func (w *Watcher) deliver(status Status, fn func(Status)) {
	w.counts.add(status.Source)
	w.dispatch.run(func() { fn(status) })
}
