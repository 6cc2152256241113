// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"

	"github.com/containerd/log"

	"github.com/sardine-run/sardine/internal/exits"
	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/launch"
)

// watch has c told of the end of a process that was just born, and takes over the duty to
// reap it. From here on p.gone will be closed.
func (c *Container) watch(p *process, born *launch.Process) error {
	identity, err := exits.ReadIdentity(born.Pid)
	if err != nil {
		return err
	}
	watched, err := kernel.Dup(born.Pidfd)
	if err != nil {
		return err
	}
	c.mu.Lock()
	p.identity, p.pidfd, p.handle, p.held = identity, born.Pidfd, born, true
	c.mu.Unlock()
	err = c.manager.Exits.Watch(exits.Child{Identity: identity, Pidfd: watched}, func(s exits.Status) { c.ended(p, s) })
	if err != nil { // the Launcher reaps and closes
		c.mu.Lock()
		p.identity, p.pidfd, p.handle = exits.Identity{}, nil, nil
		c.mu.Unlock()
	}
	return err
}

// ended takes note of the end of a process, and reports it unless it is held back.
func (c *Container) ended(p *process, s exits.Status) {
	if s.Reason != "" {
		log.L.WithField("id", c.id).WithField("namespace", c.namespace).
			Warnf("exit status of process %d is not known: %s", p.identity.Pid, s.Reason)
	}
	c.mu.Lock()
	p.ended = &Exit{Status: s.Code, At: s.At}
	held := p.held
	c.mu.Unlock()
	close(p.gone)
	if !held {
		c.reportEnd(p)
	}
}

// unhold lets the end of p be reported, at once if it has come.
func (c *Container) unhold(p *process) {
	c.mu.Lock()
	p.held = false
	ended := p.ended != nil
	c.mu.Unlock()
	if ended {
		c.reportEnd(p)
	}
}

// reportEnd is called once for each process that had a beginning.
func (c *Container) reportEnd(p *process) {
	if p == c.init {
		c.initEnded()
	} else {
		c.execEnded(p)
	}
}

// initEnded ends the rest of the container. Its own end is reported after the executed
// processes': clients take it for the last word about a container.
func (c *Container) initEnded() {
	c.mu.Lock()
	c.over = true
	last := c.live == 0
	c.mu.Unlock()
	if c.flags.sharedPID {
		c.killRest()
	}
	if last {
		c.finish()
	}
}

// killRest ends processes that the kernel does not end with the first one.
func (c *Container) killRest() {
	err := c.cgroup.Kill()
	if err == nil && c.Status().State == Paused {
		err = c.cgroup.Thaw() // frozen processes of cgroup v1 die when they are thawed
	}
	if err != nil {
		log.L.WithError(err).WithField("id", c.id).Error("kill what is left of the container")
	}
}

// leave takes one executed process off the count, and finishes the container when that was
// what its end was waiting for. mu is not held.
func (c *Container) leave() {
	c.mu.Lock()
	c.live--
	last := c.over && c.live == 0
	c.mu.Unlock()
	if last {
		c.finish()
	}
}

// finish makes the container Stopped.
func (c *Container) finish() {
	if c.manager.OOM != nil {
		c.manager.OOM.Remove(c.cgroup) // reports a kill it had not seen yet
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	wasPaused := c.state == Paused
	if err := c.move(exit); err != nil {
		log.L.WithError(err).Error("report the end of a container")
		return
	}
	if wasPaused {
		_ = c.cgroup.Thaw() // nothing is in it that could mind
	}
	if err := c.writeRecord(); err != nil {
		// The record in the eBPF map stays, so the status is not lost.
		log.L.WithError(err).WithField("id", c.id).Error("write down the end of the container")
	} else {
		c.manager.Exits.Forget(c.init.identity)
	}
	c.notify(Event{Kind: ProcessExited, Pid: c.init.identity.Pid, Exit: *c.init.ended})
	close(c.init.waited)
}

// writeRecord writes the container's record as it is now. mu is held, or c not yet known
// to others.
func (c *Container) writeRecord() error {
	return writeFile(c.manager.dir(c.key), recordName, record{
		Namespace: c.namespace, ID: c.id, Cgroup: c.cgroup.Record(),
		Process: c.init.identity, Stdio: c.init.stdio, Created: c.created, Exit: c.init.ended,
		NoNewKeyring: c.flags.noNewKeyring, SharedPID: c.flags.sharedPID, PostStart: c.flags.postStart, PostStop: c.flags.postStop,
	})
}

// oomKilled reports that the kernel killed a process for lack of memory.
func (c *Container) oomKilled() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notify(Event{Kind: OOMKilled})
}

// closeStreams ends what is left of the streams of p, for a bounded time.
func (c *Container) closeStreams(ctx context.Context, p *process) {
	c.mu.Lock()
	streams := p.streams
	c.mu.Unlock()
	if streams == nil {
		return
	}
	ctx, cancel := cleanup(ctx)
	defer cancel()
	streams.Close(ctx)
}
