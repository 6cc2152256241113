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
		return errors.New("launch: process was started before")
	}
	defer interrupt(ctx, p.control)()
	err := p.start(ctx)
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

func (p *Process) start(ctx context.Context) error {
	if err := send(p.control, plan.Start, nil); err != nil {
		return closed(err)
	}
	for {
		kind, payload, _, err := receive(p.control)
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF):
			return nil // closed by exec, or by an end that the exit status will tell
		case err != nil:
			return err
		case kind == plan.Failed:
			return failure(payload)
		case kind == plan.Listener && p.listener != nil:
			if err := p.passListener(ctx, payload); err != nil {
				return err
			}
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

// Close gives up control of the process: one that was not started ends. It may be
// called twice.
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
