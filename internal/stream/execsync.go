// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"

	"github.com/sardine-run/sardine/internal/container"
)

// maxOutput is how much of each output, and of both together, ExecSync returns. CRI has it that
// each is cut at 16 MB without an error; gRPC on both sides refuses a message of more than
// 16 MiB, of which this leaves a little for the rest.
const maxOutput = 16<<20 - 1<<10

// killTime bounds how long ExecSync waits for processes to die that it kills: all of them, which may be thousands on a busy node.
const killTime = 30 * time.Second

// Result is what a command has done.
type Result struct {
	Stdout, Stderr []byte
	ExitCode       int32 // 128 plus the signal if one ended it
}

// ExecSync runs cmd in the container id and returns when it has exited and its output has
// ended. What it prints above 16 MB is dropped.
//
// When timeout is over, or ctx, the command is killed with all that it has started, and
// the error is that of ctx, DeadlineExceeded for the timeout; it is not killed when it has
// exited and only its output is held open by others. A timeout of 0 or less is none.
// ErrInvalidArgument when there is no command or no such program.
func (s *Server) ExecSync(ctx context.Context, id string, cmd []string, timeout time.Duration) (*Result, error) {
	c, err := s.containers.Running(id)
	if err != nil {
		return nil, err
	}
	if s.probes.Takes(cmd) {
		return s.probe(ctx, c, cmd, timeout)
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout,
			fmt.Errorf("command %q timed out after %v: %w", cmd, timeout, context.DeadlineExceeded))
		defer cancel()
	}
	result, err := s.execSync(ctx, c, cmd)
	if err != nil {
		return nil, fmt.Errorf("exec in container %s: %w", id, err)
	}
	return result, nil
}

func (s *Server) execSync(ctx context.Context, c Container, args []string) (*Result, error) {
	cmd, err := start(ctx, c, args, wanted{stdout: true, stderr: true})
	if err != nil {
		return nil, err
	}
	defer s.finish(cmd)
	stdout, stderr := capture(cmd.stdout), capture(cmd.stderr)
	defer func() {
		cmd.close() // interrupts those whose pipe another process holds
		<-stdout.done
		<-stderr.done
	}()
	var exit container.Exit
	if err = ctx.Err(); err == nil { // otherwise it was killed for that while it was being started
		exit, err = cmd.Wait(ctx)
	}
	if err != nil {
		kill(ctx, cmd)
		return nil, context.Cause(ctx)
	}
	if err := s.drain(ctx, stdout.done, stderr.done); err != nil {
		return nil, err
	}
	r := &Result{Stdout: stdout.buffer.Bytes(), Stderr: stderr.buffer.Bytes(), ExitCode: int32(exit.Status)}
	r.fit(maxOutput)
	return r, nil
}

// kill ends a command whose time is over, and waits for its end, so that it is deleted.
func kill(ctx context.Context, cmd *command) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTime)
	defer cancel()
	err := cmd.KillTree(ctx)
	if err == nil {
		_, err = cmd.Wait(ctx)
	}
	if err != nil && !errdefs.IsNotFound(err) {
		log.G(ctx).WithError(err).Error("end a command that has timed out")
	}
}

// captured is an output on its way.
type captured struct {
	buffer bytes.Buffer
	done   chan struct{} // closed at its end
}

// capture reads from, to its end or until it is closed: beyond maxOutput too, so that the
// program is not held up.
func capture(from *os.File) *captured {
	c := &captured{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		if _, err := c.buffer.ReadFrom(io.LimitReader(from, maxOutput)); err == nil {
			_, _ = io.Copy(io.Discard, from)
		}
	}()
	return c
}

// fit cuts the outputs so that they have size bytes together. The smaller one is cut only
// if it has more than half of that.
func (r *Result) fit(size int) {
	over := len(r.Stdout) + len(r.Stderr) - size
	if over <= 0 {
		return
	}
	longer, shorter := &r.Stdout, &r.Stderr
	if len(*longer) < len(*shorter) {
		longer, shorter = shorter, longer
	}
	*shorter = (*shorter)[:min(len(*shorter), size/2)]
	*longer = (*longer)[:size-len(*shorter)]
}
