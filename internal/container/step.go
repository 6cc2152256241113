// SPDX-License-Identifier: Apache-2.0

package container

import (
	"time"

	"github.com/sardine-run/sardine/internal/fault"
)

// step does one of the steps that the fault package names, and tells how long it took.
func (m *Manager) step(name fault.Name, do func() error) error {
	began := time.Now()
	if err := do(); err != nil {
		return err
	}
	if m.Phase != nil {
		m.Phase(string(name), time.Since(began))
	}
	return fault.Point(name)
}

// Counts are what a Manager has done since it was made.
type Counts struct {
	Launched     uint64 // processes: of containers, and executed in them
	LaunchFailed uint64
	Adopted      uint64 // containers of an earlier daemon, alive or with a recorded end
}

// Counts returns what was done so far.
func (m *Manager) Counts() Counts {
	return Counts{Launched: m.launched.Load(), LaunchFailed: m.launchFailed.Load(), Adopted: m.adopted.Load()}
}
