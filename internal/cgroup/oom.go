// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"strconv"
	"strings"
)

// OOMKills counts the processes of the container that the kernel killed for lack of memory.
// It is 0 where memory is not controlled. On v1, sub-cgroups the container made are not counted.
func (c *Cgroup) OOMKills() (uint64, error) {
	state, err := c.oomState()
	if err != nil {
		return 0, fmt.Errorf("cgroup: out-of-memory count of /%s: %w", c.path, err)
	}
	return state.kills, nil
}

type oomState struct {
	kills uint64
	stuck bool // v1 with the OOM killer disabled: processes wait for memory
}

// oomFile is the hierarchy and file that count OOM kills; nil without a memory controller.
func (h *Host) oomFile() (*hierarchy, string) {
	if h.mode == Unified {
		return h.unified, "/memory.events"
	}
	return h.v1Of("memory"), "/memory.oom_control"
}

func (c *Cgroup) oomState() (oomState, error) {
	h, file := c.host.oomFile()
	if h == nil {
		return oomState{}, nil
	}
	data, err := h.read(c.path + file)
	if gone(err) && h.Unified() && h.exists(c.path) {
		return oomState{}, nil // v2 without the memory controller
	}
	return parseOOM(data), err
}

// parseOOM reads "key value" lines of memory.events or memory.oom_control.
func parseOOM(data string) (s oomState) {
	var waiting, disabled bool
	for line := range strings.Lines(data) {
		key, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, _ := strconv.ParseUint(number, 10, 64)
		switch key {
		case "oom_kill":
			s.kills = n
		case "under_oom":
			waiting = n > 0
		case "oom_kill_disable":
			disabled = n > 0
		}
	}
	s.stuck = waiting && disabled
	return s
}
