// SPDX-License-Identifier: Apache-2.0

package container

import (
	"slices"
	"time"

	"github.com/sardine-run/sardine/internal/rootfs"
)

// Kind says what happened.
type Kind uint8

// The kinds of events. For one container they come in the order of the facts: a start
// before the exit, the exits of executed processes before that of the first process,
// each exit once, OOM before the end of a container that it causes.
const (
	ContainerCreated Kind = iota + 1
	ContainerStarted
	ContainerPaused
	ContainerResumed
	ContainerDeleted
	ExecAdded
	ExecStarted
	ProcessExited // of the first process when Event.ExecID is empty
	OOMKilled
)

// Event is something that happened to a container.
type Event struct {
	Kind      Kind
	Container *Container
	ExecID    string
	Pid       int
	Exit      Exit           // ProcessExited, ContainerDeleted
	Rootfs    []rootfs.Mount // ContainerCreated
}

// Observe has f told of every event from now on, after Config.Notify and under the same
// conditions: it must not block nor call back into the container.
func (m *Manager) Observe(f func(Event)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.observers = append(slices.Clip(m.observers), f)
}

// tell reports an event to all.
func (m *Manager) tell(e Event) {
	m.Notify(e)
	m.mu.Lock()
	observers := m.observers
	m.mu.Unlock()
	for _, f := range observers {
		f(e)
	}
}

// Exit is how a process ended.
type Exit struct {
	Status uint32 // exit code, or 128 plus the signal
	At     time.Time
}
