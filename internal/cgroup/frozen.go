// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"path"
	"strconv"

	"github.com/opencontainers/cgroups"
)

// FrozenOf reports whether pid, the container's init, is frozen or being frozen, by whichever cgroup from the container's ancestors
// down to the one that init is in. It is not where there is no freezer.
func (c *Cgroup) FrozenOf(pid int) (bool, error) {
	h := c.host.freezer()
	if h == nil {
		return false, nil
	}
	in, err := cgroups.ParseCgroupFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return false, fmt.Errorf("cgroup: process %d: %w", pid, err)
	}
	key := "freezer"
	if h.Unified() {
		key = ""
	}
	rel, ok := within(in[key], path.Join(h.Root, c.path))
	if !ok {
		rel = ""
	}
	return h.frozenEffectively(path.Join(c.path, rel)), nil
}
