// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
)

// Birth is the start of one process in a container that may be running. It has the methods
// of Cgroup that put a process inside, and uses them with regard to what the container
// is doing.
//
// The Go runtime clones by vfork: until the child has executed its program, the thread that
// clones neither runs nor can be stopped for garbage collection, and no other thread may
// fork. A child born where it does not get to run holds up the whole daemon: one second
// was measured behind a CPU quota, and behind the freezer it is for ever. So a container is
// not frozen during a birth, and where the scheduler or memory.high holds
// processes back, the child is born outside and attached by its pid.
type Birth struct {
	*Cgroup
	init    int  // pid of the container's init, 0 before there is one
	outside bool // its cgroup holds processes back
}

// Begin prepares the birth of a process: of the container's init (pid 0) or of another one
// beside init. End must be called once the process has been attached, if NeedsAttach,
// or has executed a program. A frozen container is refused with ErrFailedPrecondition.
func (c *Cgroup) Begin(init int) (*Birth, error) {
	if !c.gate.enter() || c.frozenWithin() {
		return nil, fmt.Errorf("cgroup: /%s is frozen; thaw it to start a process: %w", c.path, errdefs.ErrFailedPrecondition)
	}
	return &Birth{Cgroup: c, init: init, outside: c.holdsBack()}, nil
}

// End lets the container be frozen again. It must be called once.
func (b *Birth) End() { b.gate.leave() }

// Enter is Cgroup.Enter, without the cpu hierarchy where that holds processes back.
func (b *Birth) Enter() error { return b.enterAll(b.outside) }

// FD is Cgroup.FD, or Cgroup.FDOf when there is an init, or -1 where the cgroup
// holds processes back.
func (b *Birth) FD() (int, error) {
	switch {
	case b.outside && b.host.mode == Unified:
		return -1, nil
	case b.init > 0:
		return b.FDOf(b.init)
	}
	return b.Cgroup.FD()
}

// NeedsAttach says that Attach must follow the clone.
func (b *Birth) NeedsAttach() bool { return b.outside || b.Cgroup.NeedsAttach() }

// Attach moves the process to where it could not be born. It costs an RCU grace
// period, some 10 ms.
func (b *Birth) Attach(pid int) error {
	if b.Cgroup.NeedsAttach() {
		return b.Cgroup.Attach(pid)
	}
	rel := b.path
	if b.init > 0 {
		var err error
		if rel, err = b.unifiedOf(b.init); err != nil {
			return err
		}
	}
	return b.attachTo(pid, rel)
}

// frozenWithin reports a frozen cgroup, and then ends the birth that has entered the gate.
func (c *Cgroup) frozenWithin() bool {
	h := c.host.freezer()
	if h == nil || c.NeedsAttach() || !h.frozenEffectively(c.path) {
		return false
	}
	c.gate.leave()
	return true
}

// frozenEffectively is frozen, also by an ancestor.
func (h *hierarchy) frozenEffectively(rel string) bool {
	if h.Unified() {
		events, err := h.read(rel + "/cgroup.events")
		return err == nil && strings.Contains(events, "frozen 1") || h.frozen(rel)
	}
	state, err := h.read(rel + "/freezer.state")
	return err == nil && strings.TrimSpace(state) != "THAWED"
}

// holdsBack reports whether the container or an ancestor, such as its pod, has been made to
// wait by a limit on processor time or by memory.high. A new container has not.
func (c *Cgroup) holdsBack() bool {
	h := c.host.unified
	if c.host.mode != Unified {
		h = c.host.v1Of("cpu")
	}
	if h == nil || c.NeedsAttach() {
		return false
	}
	if h.holdsBack(c.path) {
		return true
	}
	for i, char := range c.path {
		if char == '/' && h.holdsBack(c.path[:i]) {
			return true
		}
	}
	return false
}

// holdsBack reads the limits first: they cost 3 µs, while the kernel sums
// up counters for a statistics file.
func (h *hierarchy) holdsBack(rel string) bool {
	if !h.Unified() {
		return h.set(rel+"/cpu.cfs_quota_us", "-1") && h.counter(rel+"/cpu.stat", "nr_throttled") > 0
	}
	return h.set(rel+"/cpu.max", "max") && h.counter(rel+"/cpu.stat", "nr_throttled") > 0 ||
		h.set(rel+"/memory.high", "max") && h.counter(rel+"/memory.events", "high") > 0
}

// set reports that the limit in file is not its value for none.
func (h *hierarchy) set(file, none string) bool {
	value, err := h.read(file)
	return err == nil && !strings.HasPrefix(value, none)
}

// counter reads the line "key number" of file, 0 if there is none.
func (h *hierarchy) counter(file, key string) uint64 {
	data, err := h.read(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(data) {
		if number, ok := strings.CutPrefix(line, key+" "); ok {
			n, _ := strconv.ParseUint(strings.TrimSpace(number), 10, 64)
			return n
		}
	}
	return 0
}

// gate admits either births or freezes. The zero gate is open.
type gate struct {
	mu     sync.Mutex
	births int
	shut   int           // freezes under way
	idle   chan struct{} // closed when the last birth ends; nil if nobody waits
}

// enter begins a birth, unless a freeze is under way.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut > 0 {
		return false
	}
	g.births++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.births--; g.births == 0 && g.idle != nil {
		close(g.idle)
		g.idle = nil
	}
}

// close keeps births out and waits until none is under way. open must follow, also on error.
func (g *gate) close(ctx context.Context) error {
	g.mu.Lock()
	g.shut++
	if g.births > 0 && g.idle == nil {
		g.idle = make(chan struct{})
	}
	idle := g.idle
	g.mu.Unlock()
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("a process is still being started: %w", ctx.Err())
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut--
}
