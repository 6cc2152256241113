// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/proto"

	"github.com/sardine-run/sardine/internal/cgroup"
)

// Update changes the limits of the container: those that r sets.
func (c *Container) Update(r *specs.LinuxResources) error {
	c.op.Lock()
	defer c.op.Unlock()
	if err := c.need("update", Created, Running, Paused); err != nil {
		return err
	}
	return c.cgroup.Update(r)
}

// Stats reads the cgroup's counters: *cgroup1/stats.Metrics or *cgroup2/stats.Metrics of
// github.com/containerd/cgroups.
func (c *Container) Stats() (proto.Message, error) {
	if err := c.need("read the statistics", Created, Running, Paused, Stopped); err != nil {
		return nil, err
	}
	return c.cgroup.Stats()
}

// Usage reads what the container uses, without the counters nobody looks at: it costs a fifth of Stats.
func (c *Container) Usage(d cgroup.Detail) (*cgroup.Usage, error) {
	if err := c.need("read the usage", Created, Running, Paused, Stopped); err != nil {
		return nil, err
	}
	return c.cgroup.Usage(d)
}

// OOMKills counts the processes of the container, in all its life, that the kernel killed for lack of memory.
// os.ErrNotExist when its cgroup is gone.
func (c *Container) OOMKills() (uint64, error) { return c.cgroup.OOMKills() }

// Process is one of the processes in a container.
type Process struct {
	Pid    int
	ExecID string // of an executed process itself, not of its children
}

// Pids lists the processes of the container, in the daemon's pid namespace.
func (c *Container) Pids() ([]Process, error) {
	pids, err := c.cgroup.Pids()
	if err != nil {
		return nil, fmt.Errorf("processes of container %s: %w", c.key, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]Process, len(pids))
	for i, pid := range pids {
		list[i].Pid = pid
		for id, e := range c.execs {
			if e.process.identity.Pid == pid && e.state == Running {
				list[i].ExecID = id
			}
		}
	}
	return list, nil
}
