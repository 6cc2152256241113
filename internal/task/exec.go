// SPDX-License-Identifier: Apache-2.0

package task

import (
	"context"

	"github.com/containerd/containerd/v2/core/runtime"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/container"
)

// Exec is an executed process in containerd's terms.
type Exec struct{ e *container.Exec }

var _ runtime.ExecProcess = (*Exec)(nil)

// ID of the process in its task.
func (e *Exec) ID() string { return e.e.ID() }

// State of the process.
func (e *Exec) State(context.Context) (runtime.State, error) { return state(e.ID(), e.e.Status()) }

// Start the program.
func (e *Exec) Start(ctx context.Context) error { return e.e.Start(ctx) }

// Kill sends a signal to the process. There is no "all" of an executed process.
func (e *Exec) Kill(_ context.Context, signal uint32, _ bool) error {
	return e.e.Kill(unix.Signal(signal))
}

// ResizePty sets the size of the terminal.
func (e *Exec) ResizePty(_ context.Context, size runtime.ConsoleSize) error {
	return e.e.Resize(uint16(size.Width), uint16(size.Height))
}

// CloseIO closes standard input.
func (e *Exec) CloseIO(context.Context) error {
	e.e.CloseStdin()
	return nil
}

// Wait for the process to end.
func (e *Exec) Wait(ctx context.Context) (*runtime.Exit, error) {
	exit, err := e.e.Wait(ctx)
	if err != nil {
		return nil, err
	}
	return &runtime.Exit{Pid: uint32(e.e.Status().Pid), Status: exit.Status, Timestamp: exit.At}, nil
}

// Delete removes a process that has ended or was not started.
func (e *Exec) Delete(ctx context.Context) (*runtime.Exit, error) {
	s, err := e.e.Delete(ctx)
	if err != nil {
		return nil, err
	}
	return &runtime.Exit{Pid: uint32(s.Pid), Status: s.Exit.Status, Timestamp: s.Exit.At}, nil
}
