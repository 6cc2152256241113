// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/plan"
)

// Process is a launched process. Its methods must not be called concurrently.
type Process struct {
	Pid   int      // in the daemon's pid namespace
	Pidfd *os.File // owned by the Process until whoever gets the Process takes it

	control  *net.UnixConn // nil once the program runs
	listener func(ctx context.Context, pid int, listener *os.File) error
}

// Start lets the process become the user's program and returns when it has. On error
// the process has ended or is ending.
func (p *Process) Start(ctx context.Context) error {
	if p.control == nil {
		return errStarted
	}
	defer interrupt(ctx, p.control)()
	err := closed(send(p.control, plan.Start, nil))
	if err == nil {
		err = p.follow(ctx)
	}
	return p.started(ctx, err)
}

// Finish is Start for a process that an earlier daemon may have told to start. One that has
// executed its program, or ended, since is left as it is, and so is one that has done neither
// when ctx is done: to be finished by another daemon.
func (p *Process) Finish(ctx context.Context) error {
	if p.control == nil {
		return errStarted
	}
	defer interrupt(ctx, p.control)()
	_ = send(p.control, plan.Start, nil) // if it cannot be sent, what there is to be read tells why
	err := p.follow(ctx)
	if ctx.Err() != nil {
		p.Close()
		return fmt.Errorf("launch: %w", context.Cause(ctx))
	}
	return p.started(ctx, err)
}

var errStarted = errors.New("launch: process was started before")

// started ends the conversation. It went well or the process is of no use any more.
func (p *Process) started(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	p.Close()
	if err != nil {
		_ = unix.PidfdSendSignal(int(p.Pidfd.Fd()), unix.SIGKILL, nil, 0) // it is ending anyway
		return fmt.Errorf("launch: %w", err)
	}
	return nil
}

// follow answers until the program runs.
func (p *Process) follow(ctx context.Context) error {
	passed := false
	for {
		kind, payload, _, err := receive(p.control)
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF):
			return nil // closed by exec, or by an end that the exit status will tell
		case err != nil:
			return err
		case kind == plan.Failed:
			return failure(payload)
		case kind == plan.Listener && passed: // announced to the earlier daemon, and once more to this one
		case kind == plan.Listener && p.listener != nil:
			if err := p.passListener(ctx, payload); err != nil {
				return err
			}
			passed = true
		default:
			return fmt.Errorf("unexpected message %q from sardine-init", kind)
		}
	}
}

func (p *Process) passListener(ctx context.Context, payload []byte) error {
	listener, err := p.takeListener(payload)
	if err != nil {
		return err
	}
	if err := p.listener(ctx, p.Pid, listener); err != nil {
		return err
	}
	return send(p.control, plan.Taken, nil)
}

// Control returns a duplicate of the control socket of a process that waits for Start, for
// Resume in a later daemon. While one is open the process waits.
func (p *Process) Control() (*os.File, error) {
	if p.control == nil {
		return nil, errStarted
	}
	return p.control.File()
}

// Resume returns a process that an earlier daemon has launched and that waits for Start, unless it
// was told before. listener is Host.SeccompListener. pidfd becomes the Process's as after a Launch;
// control is used up.
func Resume(control *os.File, pid int, pidfd *os.File, listener func(ctx context.Context, pid int, listener *os.File) error) (*Process, error) {
	defer control.Close()
	conn, err := net.FileConn(control)
	if err != nil {
		return nil, fmt.Errorf("launch: resume process %d: %w", pid, err)
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("launch: resume process %d: its control socket is something else: %w", pid, os.ErrInvalid)
	}
	return &Process{Pid: pid, Pidfd: pidfd, control: unixConn, listener: listener}, nil
}

// Close gives up control of the process: one that was not started ends, unless somebody has a
// duplicate. It may be called twice.
func (p *Process) Close() {
	if p.control != nil {
		p.control.Close()
		p.control = nil
	}
}

// abandon ends a process whose launch failed. One that nobody else has to reap is
// reaped.
func (p *Process) abandon(born bool) {
	_ = unix.PidfdSendSignal(int(p.Pidfd.Fd()), unix.SIGKILL, nil, 0) // it may have ended
	if !born {
		p.reap()
		p.Pidfd.Close()
	}
}

// reap waits for the end of the process, which must be a child.
func (p *Process) reap() {
	for {
		err := unix.Waitid(unix.P_PIDFD, int(p.Pidfd.Fd()), nil, unix.WEXITED, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
