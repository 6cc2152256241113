// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/exits"
	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/launch"
	"github.com/sardine-run/sardine/internal/stdio"
)

// process is what the first process and an executed one have in common. Its fields are
// guarded by Container.mu.
type process struct {
	id      string // of the exec; empty for the first process
	stdio   stdio.Config
	streams *stdio.Streams // nil before Open
	// stdinClosed remembers a CloseStdin from before streams were set: the client asks
	// as soon as its input is through, which may be while its other FIFOs are opened.
	stdinClosed bool

	identity exits.Identity // zero before it was born
	pidfd    *os.File       // nil before it was born and when it is gone
	handle   *launch.Process

	// held delays the report of an end until the report of the beginning is out.
	held   bool
	ended  *Exit         // set by the exit callback
	gone   chan struct{} // closed after ended is set: the process is reaped
	waited chan struct{} // closed after the end was reported
}

func newProcess(id string, cfg stdio.Config) *process {
	return &process{id: id, stdio: cfg, gone: make(chan struct{}), waited: make(chan struct{})}
}

// setStreams stores what was opened. Container.mu is held.
func (p *process) setStreams(streams *stdio.Streams) {
	p.streams = streams
	if p.stdinClosed {
		streams.CloseStdin()
	}
}

// session reports whether the process belongs to a client that is gone when the daemon is.
func (p *process) session() bool { return p.stdio.Files != nil }

// inputOver reports whether nobody keeps the process from seeing the end of its input.
func (p *process) inputOver() bool {
	return p.stdinClosed || p.stdio.Stdin != "" && p.streams != nil && !p.streams.StdinKept()
}

// signal sends sig; ErrNotFound when the process has ended.
func (p *process) signal(sig unix.Signal) error {
	if p.pidfd == nil || p.ended != nil {
		return errFinished
	}
	err := kernel.PidfdSendSignal(int(p.pidfd.Fd()), sig)
	if errors.Is(err, unix.ESRCH) {
		return errFinished
	}
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("signal %d: %w", sig, errdefs.ErrInvalidArgument)
	}
	return err
}

// errFinished is worded as by containerd's shim: clients look for the text.
var errFinished = fmt.Errorf("process already finished: %w", errdefs.ErrNotFound)

// wait returns when the end was reported. An end that was reported counts, also when the time is over by now.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.waited:
		return nil
	case <-ctx.Done():
	}
	if isClosed(p.waited) {
		return nil
	}
	return ctx.Err()
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// awaitGone waits until a process that was told to end is reaped. One that does not die
// of SIGKILL hangs in the kernel; nothing can be done about it.
func (p *process) awaitGone(ctx context.Context) error {
	timer := time.NewTimer(undoTime)
	defer timer.Stop()
	var err error = errdefs.ErrUnavailable
	select {
	case <-p.gone:
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
	}
	if !isClosed(p.gone) {
		return fmt.Errorf("process %d does not end: %w", p.identity.Pid, err)
	}
	return nil
}

// release drops what belongs to a process that is gone or never was.
func (p *process) release() {
	if p.handle != nil {
		p.handle.Close()
		p.handle = nil
	}
	if p.pidfd != nil {
		p.pidfd.Close()
		p.pidfd = nil
	}
}
