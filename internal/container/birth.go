// SPDX-License-Identifier: Apache-2.0

package container

import "github.com/sardine-run/sardine/internal/cgroup"

// birth is the part of a launch during which the container cannot be frozen. It begins when it is the process's turn to
// be cloned: to stop or pause a container does not wait for others that are launched on the node.
type birth struct {
	*cgroup.Birth // nil before begin
	in            *cgroup.Cgroup
	beside        int // pid of the first process, 0 for itself
}

func (c *Container) birth(beside int) *birth { return &birth{in: c.cgroup, beside: beside} }

func (b *birth) begin() (err error) {
	b.Birth, err = b.in.Begin(b.beside)
	return err
}

func (b *birth) end() {
	if b.Birth != nil {
		b.End()
	}
}
