// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"fmt"
	"io"
	"os"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

// Exec runs args in a container for a client, until the program has exited and its output has
// ended, or the client has gone. The error of a program that fails is a
// utilexec.ExitError with its exit code. Nobody is told that all went well while that is not known.
func (r runtime) Exec(ctx context.Context, marked string, args []string, in io.Reader, out, errs io.WriteCloser,
	tty bool, resize <-chan remotecommand.TerminalSize,
) error {
	id, in := unmark(marked, in)
	code, err := r.exec(ctx, id, args, terminalStreams{in, out, errs, tty, resize})
	switch {
	case err == nil:
	case r.ctx.Err() != nil:
		return fmt.Errorf("exec in container %s: the server is shutting down, and what becomes of the command is not known: %w", id, err)
	case ctx.Err() != nil:
		return nil // nobody is there to be told
	default:
		return fmt.Errorf("exec in container %s: %w", id, err)
	}
	if code != 0 {
		return utilexec.CodeExitError{Err: fmt.Errorf("command %q: exit code %d", args, code), Code: code}
	}
	return nil
}

// terminalStreams are a client's, nil for none.
type terminalStreams struct {
	in        io.Reader
	out, errs io.Writer
	tty       bool
	resize    <-chan remotecommand.TerminalSize
}

func (s *Server) exec(ctx context.Context, id string, args []string, client terminalStreams) (int, error) {
	c, err := s.containers.Running(id)
	if err != nil {
		return 0, err
	}
	if !client.tty && s.probes.Takes(args) {
		return s.showProbe(ctx, c, args, client)
	}
	cmd, err := start(ctx, c, args, wanted{
		stdin: client.in != nil, stdout: client.out != nil, stderr: client.errs != nil && !client.tty, terminal: client.tty,
	})
	if err != nil {
		return 0, err
	}
	defer s.finish(cmd)
	s.follow(client.resize, cmd.Resize)
	if cmd.stdin != nil {
		s.feed(cmd.stdin, client.in)
	}
	outputs := []<-chan struct{}{s.show(client.out, cmd.stdout), s.show(client.errs, cmd.stderr)}
	exit, err := cmd.Wait(ctx)
	if err == nil {
		err = s.drain(ctx, outputs...)
	}
	return int(exit.Status), err
}

// show copies an output to the client until it ends or the client does not take it. A
// process that goes on to write then gets SIGPIPE.
func (s *Server) show(to io.Writer, from *os.File) <-chan struct{} {
	done := make(chan struct{})
	if from == nil || !s.spawn(func() {
		defer close(done)
		defer from.Close()
		_, _ = io.Copy(to, from)
	}) {
		close(done)
	}
	return done
}
