// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sardine-run/sardine/internal/container"
	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/launch"
	"github.com/sardine-run/sardine/internal/stdio"
)

// command is a process executed in a container, with pipes between it and the daemon.
type command struct {
	*container.Exec
	terminal bool

	stdin          *os.File // to be written; nil for none
	stdout, stderr *os.File // to be read; nil for none
}

// wanted says which streams a command gets; the others are /dev/null.
type wanted struct{ stdin, stdout, stderr, terminal bool }

// start runs args in c. A program that cannot be found is ErrInvalidArgument: ErrNotFound would
// say that there is no such container.
func start(ctx context.Context, c Container, args []string, want wanted) (*command, error) {
	if len(args) == 0 {
		return nil, fmt.Errorf("there is no command: %w", errdefs.ErrInvalidArgument)
	}
	cmd := &command{terminal: want.terminal}
	programs, err := cmd.openPipes(want)
	defer closeAll(programs.Stdin, programs.Stdout, programs.Stderr)
	if err == nil {
		cmd.Exec, err = c.Task.ExecLike(rand.Text(), func(p *specs.Process) { become(p, args, want.terminal) },
			stdio.Config{Terminal: want.terminal, Files: programs})
	}
	if err == nil {
		err = cmd.begin(ctx)
	}
	if err != nil {
		cmd.close()
		cmd.delete()
		return nil, notFoundInside(err)
	}
	return cmd, nil
}

// begin starts the command, with the error of ctx when that is over before. The command may run by then, without the daemon having
// been told of it: it is killed first with all that it has started, and only then given up.
func (c *command) begin(ctx context.Context) error {
	starting, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	killed := make(chan struct{})
	inTime := context.AfterFunc(ctx, func() {
		defer close(killed)
		dying, cancel := context.WithTimeout(starting, killTime)
		defer cancel()
		_ = c.KillTree(dying) // whose process is not born yet, or does not die, is ended by giving up
		giveUp()
	})
	err := c.Start(starting)
	if !inTime() {
		<-killed
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// become changes the container's process into one that runs args.
func become(p *specs.Process, args []string, terminal bool) {
	p.Args, p.CommandLine, p.ConsoleSize = args, "", nil
	if !terminal {
		return
	}
	env := make([]string, 0, len(p.Env)+1)
	for _, e := range p.Env {
		if !strings.HasPrefix(e, "TERM=") {
			env = append(env, e)
		}
	}
	p.Env = append(env, "TERM=xterm") // as containerd sets it, whatever the container has
}

// notFoundInside gives the error of a program that is missing in the container another class.
func notFoundInside(err error) error {
	var inside *launch.Error
	if errors.As(err, &inside) && errdefs.IsNotFound(err) {
		return fmt.Errorf("%s: %w", err.Error(), errdefs.ErrInvalidArgument)
	}
	return err
}

// openPipes returns the program's ends; also with an error, when it has opened some.
func (c *command) openPipes(want wanted) (*stdio.Files, error) {
	var f stdio.Files
	var errs [3]error
	if want.stdin {
		c.stdin, f.Stdin, errs[0] = kernel.InputPipe()
	}
	if want.stdout {
		c.stdout, f.Stdout, errs[1] = kernel.OutputPipe()
	}
	if want.stderr {
		c.stderr, f.Stderr, errs[2] = kernel.OutputPipe()
	}
	return &f, errors.Join(errs[:]...)
}

// close closes the daemon's ends of the pipes. It may be called twice.
func (c *command) close() { closeAll(c.stdin, c.stdout, c.stderr) }

func closeAll(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}

// delete removes an Exec that has ended, and reports whether it had.
func (c *command) delete() bool {
	if c.Exec == nil {
		return true
	}
	_, err := c.Delete(context.Background()) // bounded by itself
	if errdefs.IsFailedPrecondition(err) {
		return false
	}
	if err != nil && !errdefs.IsNotFound(err) { // removed with its container
		log.L.WithError(err).Error("delete an exec")
	}
	return true
}

// finish ends the daemon's part in cmd. A process that still runs goes on without it: it gets the
// input that its client has sent, and has no reader of its output.
func (s *Server) finish(cmd *command) {
	closeAll(cmd.stdout, cmd.stderr)
	if cmd.delete() {
		cmd.close()
		return
	}
	if cmd.terminal {
		cmd.Hangup()
	}
	s.spawn(func() {
		if _, err := cmd.Wait(s.ctx); err == nil {
			cmd.delete()
		}
	})
}

// feed copies from in to the process until one of them ends, and then reads in to its end: what
// the library cannot deliver holds up the rest of the connection.
func (s *Server) feed(to *os.File, in io.Reader) <-chan struct{} {
	done := make(chan struct{})
	started := s.spawn(func() {
		defer close(done)
		stop := context.AfterFunc(s.ctx, func() { to.Close() })
		defer stop()
		_, _ = io.Copy(to, in)
		to.Close()
		_, _ = io.Copy(io.Discard, in)
	})
	if !started {
		to.Close()
		close(done)
	}
	return done
}

// drain waits for the end of a process's output after its own. It does not come while another
// process holds the pipe: a child that was left in the background.
func (s *Server) drain(ctx context.Context, outputs ...<-chan struct{}) error {
	if s.drainTime > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.drainTime, fmt.Errorf("%v later: %w", s.drainTime, errdefs.ErrUnknown))
		defer cancel()
	}
	for _, done := range outputs {
		select {
		case <-done:
		case <-ctx.Done():
			select {
			case <-done: // what has ended counts, also when the time is over by now
			default:
				return fmt.Errorf("the command has exited, but others hold its output open: %w", context.Cause(ctx))
			}
		}
	}
	return nil
}
