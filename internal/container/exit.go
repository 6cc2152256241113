// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"sync/atomic"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/exits"
	"github.com/sardine-run/sardine/internal/fault"
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
	if c.over { // those who were there have been killed
		_ = p.signal(unix.SIGKILL)
	}
	c.mu.Unlock()
	c.keepPidfd(p)
	err = c.manager.Exits.Watch(exits.Child{Identity: identity, Pidfd: watched}, func(s exits.Status) { c.ended(p, s) })
	if err != nil { // the Launcher reaps and closes
		c.shelf(p).Drop(rolePidfd)
		c.mu.Lock()
		p.identity, p.pidfd, p.handle = exits.Identity{}, nil, nil
		c.mu.Unlock()
	}
	return err
}

// keepPidfd has the kernel remember how p ends, for a daemon that was not there, when the eBPF
// program does not: PIDFD_GET_INFO, Linux 6.15.
func (c *Container) keepPidfd(p *process) {
	if p.session() || c.manager.Exits.BPF() == nil {
		return
	}
	kept := c.shelf(p).keep(rolePidfd, p.pidfd)
	if p == c.init {
		c.end.pidfdKept.Store(kept)
	}
}

// forget drops what was kept of a process's exit status.
func (c *Container) forget(p *process) {
	c.manager.Exits.Forget(p.identity)
	c.shelf(p).Drop(rolePidfd)
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

// killRest ends processes that the kernel does not end with the first one. One that is being executed may not be in
// the cgroup yet.
func (c *Container) killRest() {
	c.mu.Lock()
	for _, e := range c.execs {
		_ = e.process.signal(unix.SIGKILL)
	}
	c.mu.Unlock()
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
	c.recordEnd()
	c.notify(Event{Kind: ProcessExited, Pid: c.init.identity.Pid, Exit: *c.init.ended})
	close(c.init.waited)
}

// ending is how the end of a container is kept from being lost.
type ending struct {
	pidfdKept atomic.Bool // the store has the first process's
	killed    bool        // it was sent SIGKILL: it is not paused any more
	// elsewhere is set when only the eBPF map or the kernel knows how the first process ended, and who was told.
	elsewhere bool
}

// recordEnd writes down how the container has ended, unless somebody else does. mu is held.
func (c *Container) recordEnd() {
	if c.manager.recordedElsewhere(c) && c.remembered() {
		c.end.elsewhere = true
		return
	}
	if err := c.writeRecord(); err != nil {
		// The record in the eBPF map stays, so the status is not lost.
		log.L.WithError(err).WithField("id", c.id).Error("write down the end of the container")
		return
	}
	_ = fault.Point(fault.EndRecord)
	c.forget(c.init)
}

// remembered reports whether a later daemon finds out without a record how the first process has ended. mu is held.
func (c *Container) remembered() bool {
	if c.manager.Exits.Remembers(c.init.identity) {
		return true
	}
	if !c.end.pidfdKept.Load() || c.init.pidfd == nil {
		return false
	}
	_, ended, err := kernel.PidfdExitStatus(int(c.init.pidfd.Fd()))
	return err == nil && ended
}

// writeRecord writes the container's record as it is now. mu is held, or c not yet known
// to others.
func (c *Container) writeRecord() error {
	return writeFile(c.manager.dir(c.key), recordName, record{
		Version: version, Namespace: c.namespace, ID: c.id, Cgroup: c.cgroup.Record(),
		Process: c.init.identity, Stdio: c.init.stdio, StdinClosed: c.init.inputOver(), Waits: c.waits, Created: c.created, Exit: c.init.ended,
		NoNewKeyring: c.flags.noNewKeyring, SharedPID: c.flags.sharedPID, PostStart: c.flags.postStart, PostStop: c.flags.postStop,
	})
}

// writeProcess writes the record of a process that runs. mu is held.
func (c *Container) writeProcess(p *process) error {
	if p.identity == (exits.Identity{}) || p.ended != nil {
		return nil
	}
	if p == c.init {
		return c.writeRecord()
	}
	if e := c.execs[p.id]; e != nil && e.process == p {
		return e.write()
	}
	return nil
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
