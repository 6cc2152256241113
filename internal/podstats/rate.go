// SPDX-License-Identifier: Apache-2.0

package podstats

import "time"

// minWindow is the shortest time over which a rate is made: of two questions in quick succession, from
// the kubelet and somebody beside it, the second gets the first one's answer.
const minWindow = time.Second

// rate makes nanoseconds of CPU time per second out of samples.
type rate struct {
	at        time.Time // of the sample
	used      uint64
	nanoCores uint64
	known     bool // nanoCores is
}

// nanoCores tells the use per second since the question before, and remembers used for the next one.
// The first question has no answer, as with cAdvisor: the kubelet then takes what it has itself. A mean since the
// container's start would mislead it for a container that is older than the daemon.
func (h *History) nanoCores(now time.Time, used uint64) (uint64, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cpu.next(now, used)
}

func (r *rate) next(now time.Time, used uint64) (uint64, bool) {
	window := now.Sub(r.at)
	switch {
	case r.at.IsZero():
		*r = rate{at: now, used: used}
	case window < minWindow:
		// Too soon, or a sample that was overtaken on its way here, which may say less than the last one. It is not the clock
		// that went back: samples are timed by the monotonic one.
	case used < r.used: // a cgroup made anew
		*r = rate{at: now, used: used}
	default:
		perSecond := float64(used-r.used) / window.Seconds()
		*r = rate{at: now, used: used, nanoCores: uint64(perSecond), known: true}
	}
	return r.nanoCores, r.known
}
