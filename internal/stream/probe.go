// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"fmt"
	"time"
)

// probe is ExecSync of a command that the daemon answers itself: nothing of a process is made.
func (s *Server) probe(ctx context.Context, c Container, cmd []string, timeout time.Duration) (*Result, error) {
	bounded := ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		bounded, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	done, err := s.probes.Run(bounded, c.Target, cmd)
	switch {
	case err != nil && ctx.Err() == nil:
		return nil, fmt.Errorf("command %q timed out after %v: %w", cmd, timeout, err)
	case err != nil:
		return nil, err
	}
	return &Result{Stdout: done.Stdout, Stderr: done.Stderr, ExitCode: int32(done.ExitCode)}, nil
}

// showProbe is the same for a client with streams. What it sends is not read.
func (s *Server) showProbe(ctx context.Context, c Container, cmd []string, client terminalStreams) (int, error) {
	done, err := s.probes.Run(ctx, c.Target, cmd)
	if err != nil {
		return 0, err
	}
	if client.out != nil {
		_, err = client.out.Write(done.Stdout)
	}
	if err == nil && client.errs != nil {
		_, err = client.errs.Write(done.Stderr)
	}
	if err != nil {
		return 0, err
	}
	return done.ExitCode, nil
}
