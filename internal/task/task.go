// SPDX-License-Identifier: Apache-2.0

package task

import (
	"context"
	"encoding/json"
	"fmt"

	runc "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/containerd/v2/pkg/identifiers"
	"github.com/containerd/containerd/v2/pkg/protobuf/types"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/stdio"
)

var errCheckpoint = fmt.Errorf("checkpoint and restore are not supported by %s; use a runtime with CRIU, such as %s: %w",
	Name, runcName, errdefs.ErrNotImplemented)

// Task is a container in containerd's terms. It holds nothing of its own.
type Task struct{ c *container.Container }

var _ runtime.Task = (*Task)(nil)

// ID of the task, its container's.
func (t *Task) ID() string { return t.c.ID() }

// Namespace of the task.
func (t *Task) Namespace() string { return t.c.Namespace() }

// PID of the first process.
func (t *Task) PID(context.Context) (uint32, error) { return uint32(t.c.Pid()), nil }

// State of the first process.
func (t *Task) State(context.Context) (runtime.State, error) { return state(t.ID(), t.c.Status()) }

// Start the program.
func (t *Task) Start(ctx context.Context) error { return t.c.Start(ctx) }

// Kill sends a signal to the first process, or to all.
func (t *Task) Kill(_ context.Context, signal uint32, all bool) error {
	return t.c.Kill(unix.Signal(signal), all)
}

// ResizePty sets the size of the terminal.
func (t *Task) ResizePty(_ context.Context, size runtime.ConsoleSize) error {
	return t.c.Resize(uint16(size.Width), uint16(size.Height))
}

// CloseIO closes standard input.
func (t *Task) CloseIO(context.Context) error {
	t.c.CloseStdin()
	return nil
}

// Wait for the first process to end.
func (t *Task) Wait(ctx context.Context) (*runtime.Exit, error) {
	exit, err := t.c.Wait(ctx)
	if err != nil {
		return nil, err
	}
	return &runtime.Exit{Pid: uint32(t.c.Pid()), Status: exit.Status, Timestamp: exit.At}, nil
}

// Pause stops all processes.
func (t *Task) Pause(ctx context.Context) error { return t.c.Pause(ctx) }

// Resume lets them run again.
func (t *Task) Resume(ctx context.Context) error { return t.c.Resume(ctx) }

// Exec adds a process, which is started by itself.
func (t *Task) Exec(_ context.Context, id string, opts runtime.ExecOpts) (runtime.ExecProcess, error) {
	if err := identifiers.Validate(id); err != nil {
		return nil, fmt.Errorf("exec id: %w", err)
	}
	var process specs.Process
	if err := json.Unmarshal(opts.Spec.GetValue(), &process); err != nil {
		return nil, fmt.Errorf("process of exec %s: %w: %w", id, err, errdefs.ErrInvalidArgument)
	}
	e, err := t.c.Exec(id, &process, streams(opts.IO))
	if err != nil {
		return nil, err
	}
	return &Exec{e}, nil
}

// Process returns an executed process.
func (t *Task) Process(_ context.Context, id string) (runtime.ExecProcess, error) {
	e, err := t.c.GetExec(id)
	if err != nil {
		return nil, err
	}
	return &Exec{e}, nil
}

// Pids lists all processes; an executed one is marked with its id.
func (t *Task) Pids(context.Context) ([]runtime.ProcessInfo, error) {
	processes, err := t.c.Pids()
	if err != nil {
		return nil, err
	}
	list := make([]runtime.ProcessInfo, len(processes))
	for i, p := range processes {
		list[i].Pid = uint32(p.Pid)
		if p.ExecID == "" {
			continue
		}
		// The type that the shim's answer has when the tasks service gets it.
		if list[i].Info, err = typeurl.MarshalAny(&runc.ProcessDetails{ExecID: p.ExecID}); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Checkpoint is refused.
func (t *Task) Checkpoint(context.Context, string, *types.Any) error { return errCheckpoint }

// Update changes resource limits: resources is a LinuxResources of the runtime spec.
func (t *Task) Update(_ context.Context, resources *types.Any, _ map[string]string) error {
	var r specs.LinuxResources
	if err := json.Unmarshal(resources.GetValue(), &r); err != nil {
		return fmt.Errorf("resources of task %s: %w: %w", t.ID(), err, errdefs.ErrInvalidArgument)
	}
	return t.c.Update(&r)
}

// Stats returns the cgroup's metrics.
func (t *Task) Stats(context.Context) (*types.Any, error) {
	stats, err := t.c.Stats()
	if err != nil {
		return nil, err
	}
	return typeurl.MarshalAnyToProto(stats)
}

// streams are those of the client.
func streams(io runtime.IO) stdio.Config {
	return stdio.Config{Stdin: io.Stdin, Stdout: io.Stdout, Stderr: io.Stderr, Terminal: io.Terminal}
}

// state translates a status.
func state(id string, s container.Status) (runtime.State, error) {
	out := runtime.State{
		Pid: uint32(s.Pid), ExitStatus: s.Exit.Status, ExitedAt: s.Exit.At,
		Stdin: s.Stdio.Stdin, Stdout: s.Stdio.Stdout, Stderr: s.Stdio.Stderr, Terminal: s.Stdio.Terminal,
	}
	switch s.State {
	case container.Created:
		out.Status = runtime.CreatedStatus
	case container.Running:
		out.Status = runtime.RunningStatus
	case container.Paused:
		out.Status = runtime.PausedStatus
	case container.Stopped:
		out.Status = runtime.StoppedStatus
	default:
		return runtime.State{}, fmt.Errorf("process %s was deleted: %w", id, errdefs.ErrNotFound)
	}
	return out, nil
}
