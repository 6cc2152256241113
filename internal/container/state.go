// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"

	"github.com/containerd/errdefs"
)

// State is where a container, or a process executed in one, is in its life:
//
//	           start          pause
//	 Created ────────▶ Running ─────▶ Paused
//	  │    │              │  ◀─────     │
//	  │    │ exit    exit │   resume    │ exit
//	  │    ▼              ▼             │
//	  │   Stopped ◀───────┴─────────────┘
//	  │    │
//	  │    │ remove
//	  ▼    ▼
//	  Deleted
//	remove
//
// A container that is Created has its process, which waits inside the furnished container.
// To delete it, that process is ended first: the way from Created to Deleted is that of an
// executed process, which is Created without one. Nor is such a process ever Paused by
// itself, only with its container.
type State uint8

// The states.
const (
	Created State = iota + 1
	Running
	Paused
	Stopped
	Deleted
)

// action moves between states.
type action uint8

const (
	start action = iota + 1
	pause
	resume
	exit
	remove
)

// transitions is every legal move.
var transitions = map[State]map[action]State{
	Created: {start: Running, exit: Stopped, remove: Deleted},
	Running: {pause: Paused, exit: Stopped},
	Paused:  {resume: Running, exit: Stopped},
	Stopped: {remove: Deleted},
	Deleted: {},
}

// after returns the state after a, or ErrFailedPrecondition, for a deleted one ErrNotFound.
func (s State) after(a action) (State, error) {
	if next, ok := transitions[s][a]; ok {
		return next, nil
	}
	if s == Deleted {
		return s, fmt.Errorf("cannot %s: it was deleted: %w", a, errdefs.ErrNotFound)
	}
	return s, fmt.Errorf("cannot %s while it is %s: %w", a, s, errdefs.ErrFailedPrecondition)
}

var stateNames = [...]string{Created: "created", Running: "running", Paused: "paused", Stopped: "stopped", Deleted: "deleted"}

func (s State) String() string {
	if int(s) < len(stateNames) && s != 0 {
		return stateNames[s]
	}
	return "invalid"
}

var actionNames = [...]string{start: "start", pause: "pause", resume: "resume", exit: "exit", remove: "delete"}

func (a action) String() string { return actionNames[a] }
