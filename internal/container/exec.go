// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/fault"
	"github.com/sardine-run/sardine/internal/launch"
	"github.com/sardine-run/sardine/internal/oci"
	"github.com/sardine-run/sardine/internal/stdio"
)

// Exec is a further process in a container. Its methods may be called concurrently. Its
// fields are guarded by Container.mu.
type Exec struct {
	container *Container
	process   *process
	state     State // never Paused
	// spec makes the process out of the container's own; nil once it is started.
	spec func(own *specs.Process) *specs.Process
}

// Exec adds a process to the container, to be started by Exec.Start. ErrAlreadyExists when
// the container has one with this id. With streams.Files the process belongs to a session, which
// ends with the daemon: a later one ends what still runs of it.
func (c *Container) Exec(id string, spec *specs.Process, streams stdio.Config) (*Exec, error) {
	return c.addExec(id, func(*specs.Process) *specs.Process { return spec }, streams)
}

// ExecLike is Exec for a process like the container's first one but for what change makes
// of it, which is called by Exec.Start.
func (c *Container) ExecLike(id string, change func(*specs.Process), streams stdio.Config) (*Exec, error) {
	return c.addExec(id, func(own *specs.Process) *specs.Process {
		p := *own
		change(&p)
		return &p
	}, streams)
}

func (c *Container) addExec(id string, spec func(*specs.Process) *specs.Process, streams stdio.Config) (*Exec, error) {
	if !fileName(id) || len(execPrefix+id) > unix.NAME_MAX-len(".json")-1 {
		return nil, fmt.Errorf("exec %q: not a file name: %w", id, errdefs.ErrInvalidArgument)
	}
	e := &Exec{container: c, process: newProcess(id, streams), state: Created, spec: spec}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.in("exec", Created, Running); err != nil {
		return nil, err
	}
	if c.execs[id] != nil {
		return nil, fmt.Errorf("exec %s in container %s: %w", id, c.key, errdefs.ErrAlreadyExists)
	}
	if c.execs == nil {
		c.execs = map[string]*Exec{}
	}
	c.execs[id] = e
	c.notify(Event{Kind: ExecAdded, ExecID: id})
	return e, nil
}

// GetExec returns the process added as id, or ErrNotFound.
func (c *Container) GetExec(id string) (*Exec, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.execs[id]; e != nil {
		return e, nil
	}
	return nil, fmt.Errorf("exec %s in container %s: %w", id, c.key, errdefs.ErrNotFound)
}

// ID of the process in its container.
func (e *Exec) ID() string { return e.process.id }

// Status of the process; Paused while its container is.
func (e *Exec) Status() Status {
	c := e.container
	c.mu.Lock()
	defer c.mu.Unlock()
	s := e.process.status(e.state)
	if c.state == Paused && e.state == Running {
		s.State = Paused
	}
	return s
}

// Start runs the program and returns when it was executed. On error the process is
// Stopped, without an exit being reported.
func (e *Exec) Start(ctx context.Context) error {
	c := e.container
	if err := e.begin(); err != nil {
		return err
	}
	err := e.launch(ctx)
	if err != nil {
		e.fail(ctx)
		c.leave()
		return fmt.Errorf("exec %s in container %s: %w", e.process.id, c.key, classify(err))
	}
	c.mu.Lock()
	e.state = Running
	c.notify(Event{Kind: ExecStarted, ExecID: e.process.id, Pid: e.process.identity.Pid})
	c.mu.Unlock()
	c.unhold(e.process)
	return nil
}

// begin takes part in the count of live processes, so that the container's end waits.
func (e *Exec) begin() error {
	c := e.container
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := e.state.after(start); err != nil || e.spec == nil {
		return errors.Join(fmt.Errorf("exec %s in container %s: it was started before: %w",
			e.process.id, c.key, errdefs.ErrFailedPrecondition), err)
	}
	if c.over || c.state != Created && c.state != Running {
		return fmt.Errorf("exec %s: container %s is %s: %w", e.process.id, c.key, c.state, errdefs.ErrFailedPrecondition)
	}
	c.live++
	return nil
}

func (e *Exec) launch(ctx context.Context) error {
	c, p := e.container, e.process
	spec, err := c.parsed.get(c.readSpec)
	if err != nil {
		return err
	}
	process := e.takeSpec(spec.Process)
	request, warnings, err := oci.Exec(spec, process, c.Pid(), c.init.pidfd, oci.Options{
		ID: c.id, Bundle: c.Bundle(), Host: c.manager.Host, Seccomp: c.manager.Seccomp, NoNewKeyring: c.flags.noNewKeyring,
	})
	if err != nil {
		return err
	}
	for _, w := range warnings {
		log.G(ctx).WithField("id", c.id).WithField("exec", p.id).Warn(w)
	}
	return e.run(ctx, request, spec, hostUID(spec, process.User.UID))
}

// run makes the process. Nothing but it is left to be undone of a step that fails.
func (e *Exec) run(ctx context.Context, request *launch.Request, spec *specs.Spec, uid int) error {
	c, p := e.container, e.process
	var handle *launch.Process
	for _, step := range []struct {
		do   func() error
		then fault.Name
	}{
		{func() error { return e.openStdio(ctx, uid) }, fault.ExecStdio},
		{func() (err error) { handle, err = c.bear(ctx, request, p, c.birth(c.Pid()), spec); return err }, fault.ExecReady},
		{func() error { return errors.Join(p.streams.ReleaseFiles(), e.firstWrite()) }, fault.ExecRecord},
		{func() error { return handle.Start(ctx) }, fault.ExecProgram},
	} {
		if err := c.manager.step(step.then, step.do); err != nil {
			return err
		}
	}
	return nil
}

func (e *Exec) openStdio(ctx context.Context, uid int) error {
	c, p := e.container, e.process
	streams, err := stdio.Open(ctx, p.stdio, c.stdioOptions(p, uid))
	if err != nil {
		return err
	}
	return c.locked(func() error { p.setStreams(streams); return nil })
}

func (e *Exec) takeSpec(own *specs.Process) *specs.Process {
	e.container.mu.Lock()
	spec := e.spec
	e.spec = nil
	e.container.mu.Unlock()
	process := spec(own)
	process.Terminal = e.process.stdio.Terminal
	return process
}

// fail ends what a failed start has left.
func (e *Exec) fail(ctx context.Context) {
	c := e.container
	ctx, cancel := cleanup(ctx)
	defer cancel()
	if err := c.discard(ctx, e.process); err != nil {
		log.G(ctx).WithError(err).WithField("id", c.id).Error("clean up after a failed exec")
	}
	c.closeStreams(ctx, e.process)
	_ = e.remove()
	c.mu.Lock()
	defer c.mu.Unlock()
	e.state = Stopped
	const failed = 255
	e.process.ended = &Exit{Status: failed, At: time.Now()}
	close(e.process.waited)
}

// execEnded reports the end of an executed process.
func (c *Container) execEnded(p *process) {
	c.mu.Lock()
	if e := c.execs[p.id]; e != nil && e.process == p {
		e.state = Stopped
		if err := e.write(); err == nil {
			c.forget(p)
		}
	}
	c.notify(Event{Kind: ProcessExited, ExecID: p.id, Pid: p.identity.Pid, Exit: *p.ended})
	close(p.waited)
	c.mu.Unlock()
	c.leave()
}

func (e *Exec) file() string { return execPrefix + e.process.id + ".json" }

// firstWrite records a process that waits for its start. Of a session this is all that is ever written, so that others
// need not wait for it. Half a record is of a process that was not told to start: there is nothing to be ended.
func (e *Exec) firstWrite() error {
	c := e.container
	if !e.process.session() {
		return c.locked(e.write)
	}
	c.mu.Lock()
	record := e.record()
	c.mu.Unlock()
	return writeFileOnce(c.manager.dir(c.key), e.file(), record)
}

// write records the process for a later daemon, to which the end of one of a session is the
// same as no record. mu is held.
func (e *Exec) write() error {
	if e.process.session() {
		return nil
	}
	return writeFile(e.container.manager.dir(e.container.key), e.file(), e.record())
}

// record is what a later daemon is told. mu is held.
func (e *Exec) record() execRecord {
	p := e.process
	return execRecord{
		Version: version, ID: p.id, Process: p.identity, Stdio: p.stdio, StdinClosed: p.inputOver(), Session: p.session(), Exit: p.ended,
	}
}

func (e *Exec) remove() error {
	return ignoreMissing(os.Remove(filepath.Join(e.container.manager.dir(e.container.key), e.file())))
}

// Kill sends sig to the process.
func (e *Exec) Kill(sig unix.Signal) error {
	c := e.container
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.state == Created {
		return fmt.Errorf("exec %s in container %s: it was not started: %w", e.process.id, c.key, errdefs.ErrFailedPrecondition)
	}
	if err := e.process.signal(sig); err != nil {
		return fmt.Errorf("exec %s in container %s: %w", e.process.id, c.key, err)
	}
	return nil
}

// Wait returns when the end of the process was reported, or with ctx's error.
func (e *Exec) Wait(ctx context.Context) (Exit, error) {
	if err := e.process.wait(ctx); err != nil {
		return Exit{}, err
	}
	return e.Status().Exit, nil
}

// Resize sets the size of the process's terminal; without one it does nothing.
func (e *Exec) Resize(width, height uint16) error {
	return e.container.resize(e.process, width, height)
}

// CloseStdin lets the process see the end of its input once the client has closed its side.
func (e *Exec) CloseStdin() { e.container.closeStdin(e.process) }

// Hangup closes the streams of the process that the daemon holds, a terminal above all: its
// session gets SIGHUP. What was not written yet is lost.
func (e *Exec) Hangup() {
	e.container.mu.Lock()
	streams := e.process.streams
	e.container.mu.Unlock()
	if streams != nil {
		streams.Hangup()
	}
}

// Delete removes a process that has ended or was never started.
func (e *Exec) Delete(ctx context.Context) (Status, error) {
	c := e.container
	c.mu.Lock()
	next, err := e.state.after(remove)
	if e.state == Created && e.spec == nil {
		err = fmt.Errorf("cannot delete while it is being started: %w", errdefs.ErrFailedPrecondition)
	}
	if err == nil {
		e.state = next
		delete(c.execs, e.process.id)
	}
	status := e.process.status(e.state)
	c.mu.Unlock()
	if err != nil {
		return status, fmt.Errorf("exec %s in container %s: %w", e.process.id, c.key, err)
	}
	e.drop(ctx)
	return status, nil
}

// drop releases what belongs to the process.
func (e *Exec) drop(ctx context.Context) {
	c := e.container
	c.closeStreams(ctx, e.process)
	if err := e.remove(); err != nil {
		log.G(ctx).WithError(err).WithField("id", c.id).Warn("remove the record of an exec")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e.state = Deleted
	e.process.release()
}
