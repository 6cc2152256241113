// SPDX-License-Identifier: Apache-2.0

package stress

import "time"

// Phase is a step of a container's life that is timed by itself.
type Phase int

// The phases in the order of a life.
const (
	CreateContainer Phase = iota // snapshot and container record
	CreateTask                   // a process ready to start
	Start                        // until the daemon answers
	Wait                         // from that answer until the exit is reported
	Exec                         // a second process: from its creation until it is deleted
	Delete                       // task, container and snapshot
	Total                        // the whole life

	phases
)

var phaseNames = [phases]string{"create container", "create task", "start", "wait", "exec", "delete", "total"}

// String returns the name used in tables and in JSON.
func (p Phase) String() string { return phaseNames[p] }

// recorder collects the durations of one worker; it is not locked.
type recorder [phases][]time.Duration

func (r *recorder) add(p Phase, d time.Duration) { r[p] = append(r[p], d) }

func (r *recorder) merge(other *recorder) {
	for p := range r {
		r[p] = append(r[p], other[p]...)
	}
}

// stopwatch times consecutive phases without a gap between them.
type stopwatch struct {
	began, last time.Time
}

func newStopwatch() *stopwatch {
	now := time.Now()
	return &stopwatch{began: now, last: now}
}

// lap ends the running phase and starts the next.
func (s *stopwatch) lap() time.Duration {
	now := time.Now()
	d := now.Sub(s.last)
	s.last = now
	return d
}

// total is the time from the start to the last lap.
func (s *stopwatch) total() time.Duration { return s.last.Sub(s.began) }
