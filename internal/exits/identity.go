// SPDX-License-Identifier: Apache-2.0

package exits

import (
	"fmt"

	"github.com/containerd/errdefs"

	"github.com/sardine-run/sardine/internal/kernel"
)

// Identity names a process for good. A pid alone is given to another process once this
// one was reaped; not together with the same start time, as the kernel would have to go
// round all pids within a hundredth of a second.
type Identity struct {
	Pid int `json:"pid"` // thread group id in the daemon's pid namespace
	// StartTicks is field 22 of /proc/PID/stat: hundredths of a second since boot. exec
	// does not change it.
	StartTicks uint64 `json:"startTicks"`
}

// ReadIdentity returns the identity of the process that has pid now. The caller knows that
// it is the one it means: its own child that was not reaped yet, a zombie included.
// errdefs.ErrNotFound if there is none.
func ReadIdentity(pid int) (Identity, error) {
	stat, err := kernel.ReadProcStat(pid)
	if err != nil {
		return Identity{}, fmt.Errorf("identify process %d: %w: %w", pid, errdefs.ErrNotFound, err)
	}
	return Identity{Pid: pid, StartTicks: stat.StartTicks}, nil
}

// runs reports whether the process with this pid is still this one, be it a zombie.
func (id Identity) runs() bool {
	now, err := ReadIdentity(id.Pid)
	return err == nil && now == id
}

func (id Identity) String() string {
	return fmt.Sprintf("pid %d started at tick %d", id.Pid, id.StartTicks)
}
