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
// the container has one with this id. With streams.Files it is not recorded: a later daemon
// knows nothing of it.
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
	if err := c.need("exec", Created, Running); err != nil {
		return nil, err
	}
	e := &Exec{container: c, process: newProcess(id, streams), state: Created, spec: spec}
	c.mu.Lock()
	defer c.mu.Unlock()
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
	spec, err := c.readSpec()
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
	streams, err := stdio.Open(ctx, p.stdio, c.stdioOptions(p.id, hostUID(spec, process.User.UID)))
	if err != nil {
		return err
	}
	c.mu.Lock()
	p.setStreams(streams)
	c.mu.Unlock()
	handle, err := c.bear(ctx, request, p, spec)
	if err != nil {
		return err
	}
	c.mu.Lock()
	err = errors.Join(streams.ReleaseFiles(), e.write())
	c.mu.Unlock()
	if err != nil {
		return err
	}
	return handle.Start(ctx)
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

// bear launches p beside the first process.
func (c *Container) bear(ctx context.Context, request *launch.Request, p *process, spec *specs.Spec) (*launch.Process, error) {
	birth, err := c.cgroup.Begin(c.Pid())
	if err != nil {
		return nil, err
	}
	defer birth.End()
	return c.manager.Launcher.Launch(ctx, request, p.streams.Files(), birth, c.host(p, spec))
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
			c.manager.Exits.Forget(p.identity)
		}
	}
	c.notify(Event{Kind: ProcessExited, ExecID: p.id, Pid: p.identity.Pid, Exit: *p.ended})
	close(p.waited)
	c.mu.Unlock()
	c.leave()
}

func (e *Exec) file() string { return execPrefix + e.process.id + ".json" }

// write records the process for a later daemon. mu is held.
func (e *Exec) write() error {
	p := e.process
	if p.stdio.Files != nil {
		return nil
	}
	return writeFile(e.container.manager.dir(e.container.key), e.file(),
		execRecord{ID: p.id, Process: p.identity, Stdio: p.stdio, Exit: p.ended})
}

func (e *Exec) remove() error {
	if e.process.stdio.Files != nil {
		return nil
	}
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
