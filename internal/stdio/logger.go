// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// How long a logging program may take.
const (
	readyTime = 30 * time.Second // to say that it is ready
	flushTime = 5 * time.Second  // to end by itself after the container's end, before SIGTERM: on a busy node it may have to wait for a processor
	termTime  = 10 * time.Second // to end after SIGTERM, before SIGKILL; containerd's shim allows as much
)

// logger is the process of a logging program, as containerd's package runtime/v2/logging
// has them: it reads the container's output from descriptors 3 and 4, says on descriptor 5
// that it is ready, and outlives the daemon.
type logger struct {
	pidfd *os.File
	ended chan struct{}
}

// startLogger starts the program and waits until it is ready. stdout and stderr are the
// ends to write to.
func startLogger(ctx context.Context, t target, opts Options) (l *logger, stdout, stderr *os.File, err error) {
	pipes, err := newPipes()
	if err != nil {
		return nil, nil, nil, fmt.Errorf("logging program %s: %w", t.path, err)
	}
	if l, err = spawnLogger(t, opts, pipes.programs()); err == nil {
		closeAll(pipes.programs()...)
		if err = awaitReady(ctx, pipes.ready, t.strict); err != nil {
			l.kill()
		}
	}
	closeAll(pipes.ready)
	if err != nil {
		pipes.close()
		return nil, nil, nil, fmt.Errorf("logging program %s: %w", t.path, err)
	}
	return l, pipes.stdout, pipes.stderr, nil
}

// pipes connect a container with its logging program.
type pipes struct {
	stdout, stderr, ready                      *os.File // the daemon's ends
	programStdout, programStderr, programReady *os.File
}

func newPipes() (p pipes, err error) {
	var errs [3]error
	p.programStdout, p.stdout, errs[0] = os.Pipe()
	p.programStderr, p.stderr, errs[1] = os.Pipe()
	p.ready, p.programReady, errs[2] = os.Pipe()
	if err = errors.Join(errs[:]...); err != nil {
		p.close()
		return pipes{}, err
	}
	// os.Pipe makes both ends non-blocking; a program does not expect that of its streams.
	for _, f := range append(p.programs(), p.stdout, p.stderr) {
		errs[0] = errors.Join(errs[0], kernel.SetNonblock(int(f.Fd()), false))
	}
	if errs[0] != nil {
		p.close()
		return pipes{}, errs[0]
	}
	return p, nil
}

func (p pipes) programs() []*os.File {
	return []*os.File{p.programStdout, p.programStderr, p.programReady}
}

func (p pipes) close() {
	closeAll(append(p.programs(), p.stdout, p.stderr, p.ready)...)
}

func spawnLogger(t target, opts Options, files []*os.File) (*logger, error) {
	if opts.Reap == nil {
		return nil, fmt.Errorf("logging programs are not supported here: %w", errdefs.ErrNotImplemented)
	}
	devNull, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer devNull.Close()
	pidfd := -1
	process, err := os.StartProcess(t.path, append([]string{t.path}, t.args...), &os.ProcAttr{
		Env:   []string{"CONTAINER_ID=" + opts.ID, "CONTAINER_NAMESPACE=" + opts.Namespace},
		Files: append([]*os.File{devNull, devNull, devNull}, files...),
		// Its own session: what ends the daemon at a terminal must not end the logs.
		Sys: &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd},
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", err, errdefs.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	defer process.Release()
	return newLogger(process.Pid, os.NewFile(uintptr(pidfd), "pidfd"), opts.Reap)
}

func newLogger(pid int, pidfd *os.File, reap func(int, *os.File, func()) error) (*logger, error) {
	l := &logger{pidfd: pidfd, ended: make(chan struct{})}
	handed, err := kernel.Dup(pidfd)
	if err == nil {
		err = reap(pid, handed, func() { close(l.ended) })
	}
	if err != nil {
		_ = kernel.PidfdSendSignal(int(pidfd.Fd()), unix.SIGKILL)
		_, _ = unix.Wait4(pid, nil, 0, nil)
		pidfd.Close()
		return nil, err
	}
	return l, nil
}

// awaitReady waits until the program closes its end of the pipe. One that was built with
// containerd's logging package writes a byte before, which tells readiness from a crash;
// only binary-v2 may insist on it.
func awaitReady(ctx context.Context, ready *os.File, strict bool) error {
	if err := ready.SetReadDeadline(time.Now().Add(readyTime)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	n, err := ready.Read(make([]byte, 1))
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("wait until it is ready: %w", context.Cause(ctx))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("it was not ready after %v: %w", readyTime, context.DeadlineExceeded)
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("wait until it is ready: %w", err)
	case strict && n == 0:
		return fmt.Errorf("it ended without saying that it is ready: %w", errdefs.ErrUnavailable)
	}
	return nil
}

// stop lets the program read what is left, and ends it when it does not end by itself.
func (l *logger) stop(ctx context.Context) {
	defer l.pidfd.Close()
	if l.wait(ctx, flushTime) {
		return
	}
	_ = kernel.PidfdSendSignal(int(l.pidfd.Fd()), unix.SIGTERM)
	if !l.wait(ctx, termTime) {
		_ = kernel.PidfdSendSignal(int(l.pidfd.Fd()), unix.SIGKILL)
	}
}

func (l *logger) wait(ctx context.Context, patience time.Duration) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-l.ended:
		return true
	case <-ctx.Done():
	case <-timer.C:
	}
	return false
}

// kill ends a program that did not get ready.
func (l *logger) kill() {
	_ = kernel.PidfdSendSignal(int(l.pidfd.Fd()), unix.SIGKILL)
	l.pidfd.Close()
}
