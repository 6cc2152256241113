// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/sardine-run/sardine/internal/cgroup"
	"github.com/sardine-run/sardine/internal/stdio"
)

// Container is a container that was created. Its methods may be called concurrently.
type Container struct {
	key
	manager *Manager
	cgroup  *cgroup.Cgroup
	flags   flags
	created time.Time
	parsed  sharedSpec

	// op serializes what takes long: start, pause, resume, update, delete. It is taken
	// before mu.
	op sync.Mutex
	// group is held for reading by who signals all in the cgroup, and for writing by who removes it: its name may be another's then.
	// It is taken after op, before mu.
	group sync.RWMutex

	mu    sync.Mutex // guards what follows, and all processes; never held for long
	state State
	init  *process
	execs map[string]*Exec // nil until there is one
	live  int              // executed processes that run or are being started
	waits bool             // the process was not told to start, and outlives the daemon meanwhile
	// over is set when the first process has ended: nothing can be executed any more.
	over bool
	end  ending
}

// flags are facts of the spec that are needed without reading it again.
type flags struct {
	noNewKeyring        bool // its processes keep the daemon's session keyring
	sharedPID           bool // no pid namespace of its own: the kernel does not end the rest with the first process
	postStart, postStop bool // has such hooks
}

// Status is a container, or a process executed in one, at one moment.
type Status struct {
	State State
	Pid   int
	Exit  Exit // zero until Stopped
	Stdio stdio.Config
}

// ID of the container.
func (c *Container) ID() string { return c.key.id }

// Namespace in which the ID is unique.
func (c *Container) Namespace() string { return c.key.namespace }

// Bundle is the directory with the container's config.json.
func (c *Container) Bundle() string { return c.manager.bundle(c.key) }

// Created is when the container was.
func (c *Container) Created() time.Time { return c.created }

// Pid of the first process, in the daemon's pid namespace; also after its end.
func (c *Container) Pid() int { return c.init.identity.Pid }

// Stdio names the streams of the first process.
func (c *Container) Stdio() stdio.Config { return c.init.stdio }

// Status of the container.
func (c *Container) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.init.status(c.state)
}

func (p *process) status(s State) Status {
	status := Status{State: s, Pid: p.identity.Pid, Stdio: p.stdio}
	if p.ended != nil && (s == Stopped || s == Deleted) {
		status.Exit = *p.ended
	}
	return status
}

// Wait returns when the end of the first process was reported, or with ctx's error.
func (c *Container) Wait(ctx context.Context) (Exit, error) {
	if err := c.init.wait(ctx); err != nil {
		return Exit{}, err
	}
	return c.Status().Exit, nil
}

// Resize sets the size of the first process's terminal; without one it does nothing.
func (c *Container) Resize(width, height uint16) error {
	return c.resize(c.init, width, height)
}

func (c *Container) resize(p *process, width, height uint16) error {
	c.mu.Lock()
	streams := p.streams
	c.mu.Unlock()
	if streams == nil {
		return nil
	}
	return streams.Resize(width, height)
}

// CloseStdin lets the first process see the end of its input once the client has closed
// its side.
func (c *Container) CloseStdin() { c.closeStdin(c.init) }

// StdinClosed reports whether CloseStdin was called.
func (c *Container) StdinClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.init.stdinClosed
}

func (c *Container) closeStdin(p *process) {
	c.mu.Lock()
	p.stdinClosed = true
	streams := p.streams
	if streams != nil && streams.StdinKept() {
		if err := c.writeProcess(p); err != nil {
			log.L.WithError(err).WithField("id", c.id).Warn("a later daemon will open the input of a process again")
		}
	}
	c.mu.Unlock()
	if streams != nil {
		streams.CloseStdin()
	}
}

// move makes a transition of the container's own state. mu is held.
func (c *Container) move(a action) error {
	next, err := c.state.after(a)
	if err != nil {
		return fmt.Errorf("container %s: %w", c.key, err)
	}
	c.state = next
	return nil
}

// need returns ErrFailedPrecondition unless the container is in one of states.
func (c *Container) need(what string, states ...State) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.in(what, states...)
}

// in is need with mu held.
func (c *Container) in(what string, states ...State) error {
	for _, s := range states {
		if c.state == s {
			return nil
		}
	}
	var class error = errdefs.ErrFailedPrecondition
	if c.state == Deleted {
		class = errdefs.ErrNotFound
	}
	return fmt.Errorf("container %s: cannot %s while it is %s: %w", c.key, what, c.state, class)
}

// notify reports an event. mu is held, so that the order of reports is that of the facts.
func (c *Container) notify(e Event) {
	e.Container = c
	c.manager.tell(e)
}

// locked does f with mu held.
func (c *Container) locked(f func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return f()
}
