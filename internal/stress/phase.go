// SPDX-License-Identifier: Apache-2.0

package stress

import "time"

// Phase is a step of a container's life that is timed by itself.
type Phase int

// The phases in the order of a life, of a container or of a pod of one
// container. A pod's CreateContainer, Start and Exec are one CRI call each.
const (
	RunPodSandbox   Phase = iota
	CreateContainer       // snapshot and container record
	CreateTask            // a process ready to start
	Start                 // until the daemon answers
	CreateStart           // of a pod's container: CreateContainer and Start
	PodReady              // from RunPodSandbox until Start answers
	Wait                  // from that answer until the exit is reported
	Exec                  // a second process: from its creation until it is deleted
	StopContainer         // until the program has ended
	StopPodSandbox
	RemovePodSandbox // with its container
	Delete           // task, container and snapshot
	Total            // the whole life

	phases
)

var phaseNames = [phases]string{
	"run pod sandbox", "create container", "create task", "start", "create and start", "pod ready", "wait", "exec",
	"stop container", "stop pod sandbox", "remove pod sandbox", "delete", "total",
}

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
