// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"github.com/sardine-run/sardine/internal/kernel"
)

// Attach connects a client with the container's first process, until the output of that
// ends, the client has gone or its input has ended. The last is the end of the session
// unless it is the end of the container's input as well: what that prints in answer is still sent.
func (r runtime) Attach(ctx context.Context, marked string, in io.Reader, out, errs io.WriteCloser,
	tty bool, resize <-chan remotecommand.TerminalSize,
) error {
	id, in := unmark(marked, in)
	// Converted only when there is one: an interface that holds a nil one is not nil.
	client := terminalStreams{in: in, tty: tty, resize: resize}
	if out != nil {
		client.out = out
	}
	if errs != nil && !tty {
		client.errs = errs
	}
	if err := r.attach(ctx, id, client); err != nil {
		return fmt.Errorf("attach to container %s: %w", id, err)
	}
	return nil
}

func (s *Server) attach(ctx context.Context, id string, client terminalStreams) error {
	c, err := s.containers.Running(id)
	if err != nil {
		return err
	}
	if c.Log == nil {
		return fmt.Errorf("its output is not at hand: %w", errdefs.ErrFailedPrecondition)
	}
	s.follow(client.resize, c.Task.Resize)
	ended, stop := c.Log.Attach(client.out, client.errs)
	defer stop()
	detached, err := s.input(c, client)
	if err != nil {
		return err
	}
	select {
	case <-ended:
	case <-detached:
	case <-ctx.Done():
	}
	return nil
}

// input feeds the container's standard input. The channel, which may be nil, is closed when
// the session is over.
func (s *Server) input(c Container, client terminalStreams) (<-chan struct{}, error) {
	if client.in == nil {
		return nil, nil
	}
	fifo, err := openStdin(c)
	if err != nil {
		return nil, err
	}
	if fifo == nil { // the container reads none: as if it was not asked for
		s.spawn(func() { _, _ = io.Copy(io.Discard, client.in) })
		return nil, nil
	}
	done := s.feed(fifo, client.in)
	if !c.StdinOnce || client.tty {
		return done, nil
	}
	s.spawn(func() {
		<-done
		c.Task.CloseStdin()
	})
	return nil, nil
}

// openStdin opens the FIFO that the container reads, nil when it has none or does not read it
// any more.
func openStdin(c Container) (*os.File, error) {
	path := c.Task.Stdio().Stdin
	if path == "" || c.Task.StdinClosed() {
		return nil, nil
	}
	f, err := kernel.Open(path, unix.O_WRONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENOENT) { // closed, or the container has just ended and is cleared away
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	return f, nil
}
