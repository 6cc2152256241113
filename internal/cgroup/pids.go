// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"
)

// Pids lists the processes in the cgroup and its sub-cgroups, as seen from the caller's
// pid namespace. It is empty when the cgroup does not exist.
func (c *Cgroup) Pids() ([]int, error) {
	pids, err := c.host.processes().others(c.path)
	if err != nil && !gone(err) {
		return nil, fmt.Errorf("cgroup: list processes: %w", err)
	}
	return pids, nil
}

// others is pids without the calling process. A thread in Enter makes v1 list the whole
// daemon as a member, and the daemon must neither report nor kill itself.
func (h *hierarchy) others(rel string) ([]int, error) {
	pids, err := h.pids(rel)
	self := os.Getpid()
	return slices.DeleteFunc(pids, func(pid int) bool { return pid == self }), err
}

// pids of rel and everything below. A sub-cgroup that vanishes meanwhile is skipped.
func (h *hierarchy) pids(rel string) ([]int, error) {
	data, err := h.read(rel + "/cgroup.procs")
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = nil // a threaded cgroup: its processes are listed by its domain above
	}
	if err != nil {
		return nil, err
	}
	pids, err := parsePids(data)
	if err != nil {
		return nil, err
	}
	children, err := h.children(rel)
	if err != nil {
		return pids, nil // removed after its last process was listed
	}
	for _, child := range children {
		more, err := h.pids(rel + "/" + child)
		if err != nil && !gone(err) {
			return nil, err
		}
		pids = append(pids, more...)
	}
	return pids, nil
}

func parsePids(data string) ([]int, error) {
	var pids []int
	for line := range strings.FieldsSeq(data) {
		pid, err := strconv.Atoi(line)
		if err != nil {
			return nil, fmt.Errorf("cgroup.procs: %w", err)
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// initPids is how many tasks a starting container may have in any case: the OS threads of
// the runtime's init, and on v1 the daemon's thread that clones it.
const initPids = 64

// relaxPids replaces a limit too small for starting by initPids until Tighten.
func (s *start) relaxPids() {
	limit := s.resources.PidsLimit
	if limit == nil || *limit < 0 || *limit >= initPids {
		return
	}
	relaxed := int64(initPids)
	s.pids, s.resources.PidsLimit = limit, &relaxed
}

// Tighten sets the limits of the spec that were too small for the container's start.
// Call it when init has nothing left to do but exec. Afterwards c forgets what only
// the start needed.
func (c *Cgroup) Tighten() error {
	s := c.pending
	c.pending = nil
	if s == nil || s.pids == nil {
		return nil
	}
	if err := c.update(&cgroups.Resources{PidsLimit: s.pids, SkipDevices: true}); err != nil {
		return fmt.Errorf("cgroup: limit /%s to %d processes: %w", c.path, *s.pids, err)
	}
	return nil
}
