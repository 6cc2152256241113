// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// Config names the streams of a process as its client does: see parse. "" is /dev/null.
type Config struct {
	Stdin    string `json:"stdin,omitempty"`
	Stdout   string `json:"stdout,omitempty"`
	Stderr   string `json:"stderr,omitempty"` // ignored with Terminal, and when Stdout is a file or program
	Terminal bool   `json:"terminal,omitempty"`

	// Files, when not nil, are used instead of what the names say. They cannot be
	// recorded: a later daemon finds neither them nor their process.
	Files *Files `json:"-"`
}

// Files are open streams, nil for /dev/null: the program's ends of pipes for example, or with
// Config.Terminal what is copied from and to it. Open takes them over; to close them again
// later does no harm.
type Files struct{ Stdin, Stdout, Stderr *os.File }

// Options is what opening needs beside the Config.
type Options struct {
	// ID and Namespace are told to a logging program.
	ID, Namespace string
	// UID owns what the program gets, so that it can open /dev/stdout again: the
	// program's user as the host sees it. Negative leaves the owner.
	UID int
	// Reap reaps a logging program, a child of the daemon, when it ends, and calls ended
	// once afterwards. pidfd passes to it. Only needed for binary URIs.
	Reap func(pid int, pidfd *os.File, ended func()) error
	// Pump copies for a terminal. Only needed for those.
	Pump *Pump
	// Keeper keeps for a later daemon what it needs to go on: see Resume. Nil keeps nothing,
	// nor is anything kept of Config.Files.
	Keeper Keeper
}

// Streams are the opened streams of one process. Its methods may be called concurrently.
//
// The order of calls: Open; then Files for the clone and ReleaseFiles after it, or with a
// terminal Attach; at the end Close.
type Streams struct {
	files  [3]*os.File // the program's, until ReleaseFiles
	keeper Keeper

	mu       sync.Mutex
	fifo     bool     // standard input is a FIFO and CloseStdin was not called
	keep     *os.File // the daemon's end of it
	logger   *logger
	terminal *terminal
}

// Open opens what cfg names, and starts the logging program if it names one. It waits for
// a reader of the FIFOs for output, until ctx is done. Nothing is left open on error.
// Errors are ErrInvalidArgument for a malformed URI, ErrNotFound for a missing path.
func Open(ctx context.Context, cfg Config, opts Options) (*Streams, error) {
	if opts.Keeper == nil || cfg.Files != nil {
		opts.Keeper = nobody{}
	}
	s := &Streams{keeper: opts.Keeper}
	if err := s.open(ctx, cfg, opts); err != nil {
		s.Close(ctx)
		return nil, fmt.Errorf("open streams: %w", err)
	}
	return s, nil
}

func (s *Streams) open(ctx context.Context, cfg Config, opts Options) (err error) {
	if f := cfg.Files; f != nil {
		s.files = [3]*os.File{f.Stdin, f.Stdout, f.Stderr}
	} else if err = s.openNamed(ctx, cfg, opts); err != nil {
		return err
	}
	if !cfg.Terminal {
		return s.chown(opts.UID)
	}
	if s.fifo {
		if err := s.keepInput(); err != nil {
			return err
		}
	}
	s.terminal = newTerminal(s.files, opts)
	s.files = [3]*os.File{}
	return nil
}

func (s *Streams) openNamed(ctx context.Context, cfg Config, opts Options) error {
	in, out, errs, err := cfg.targets()
	if err != nil {
		return err
	}
	if in.kind != null {
		if s.files[0], s.fifo, err = openInput(in.path); err != nil {
			return err
		}
	}
	s.files[1], s.files[2], err = s.openOutputs(ctx, out, errs, opts)
	return err
}

// targets parses cfg. Standard error goes where standard output does when that is a log,
// as in containerd's own shim.
func (cfg Config) targets() (in, out, errs target, err error) {
	in, ierr := parse("stdin", cfg.Stdin)
	out, oerr := parse("stdout", cfg.Stdout)
	if err := errors.Join(ierr, oerr); err != nil {
		return in, out, errs, err
	}
	if in.kind == binary {
		return in, out, errs, invalid("stdin", cfg.Stdin, "cannot be read from a program")
	}
	switch {
	case cfg.Terminal:
	case out.kind == file, out.kind == binary:
		errs = out
	default:
		if errs, err = parse("stderr", cfg.Stderr); err == nil && errs.kind == binary {
			err = invalid("stderr", cfg.Stderr, "is a logging program, which takes stdout too: name it there")
		}
	}
	return in, out, errs, err
}

func (s *Streams) openOutputs(ctx context.Context, out, errs target, opts Options) (stdout, stderr *os.File, err error) {
	if out.kind == binary {
		s.logger, stdout, stderr, err = startLogger(ctx, out, opts)
		return stdout, stderr, err
	}
	if stdout, err = out.open(ctx); err != nil {
		return nil, nil, err
	}
	if errs.kind != null && errs.kind == out.kind && errs.path == out.path {
		return stdout, stdout, nil
	}
	stderr, err = errs.open(ctx)
	return stdout, stderr, err
}

func (t target) open(ctx context.Context) (*os.File, error) {
	switch t.kind {
	case path:
		return openOutput(ctx, t.path)
	case file:
		return openFile(t.path)
	}
	return nil, nil
}

// chown gives the streams to uid, but not what is no log or FIFO of the container's alone.
func (s *Streams) chown(uid int) error {
	if uid < 0 {
		return nil
	}
	for _, f := range s.files {
		if f == nil {
			continue
		}
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if info.Mode()&os.ModeDevice != 0 { // a device of the host, such as /dev/null
			continue
		}
		if err := kernel.Fchown(int(f.Fd()), uid, f.Name()); err != nil {
			return err
		}
	}
	return nil
}

// Files are the program's descriptors 0, 1 and 2, nil for /dev/null. They stay the
// Streams' own.
func (s *Streams) Files() [3]*os.File { return s.files }

// ReleaseFiles closes the daemon's copies of Files, once the process has its own. Call it
// before the program runs: standard input may end before.
func (s *Streams) ReleaseFiles() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if s.fifo && s.keep == nil && s.files[0] != nil {
		err = s.keepInput()
	}
	s.closeFiles()
	return err
}

// keepInput opens the daemon's own end of standard input.
func (s *Streams) keepInput() (err error) {
	if s.keep, err = keepOpen(s.files[0]); s.keep != nil {
		s.keeper.Keep(roleStdin, s.keep)
	}
	return err
}

// StdinKept reports whether the daemon keeps the program from seeing the end of a standard input
// that its client has left.
func (s *Streams) StdinKept() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keep != nil
}

func (s *Streams) closeFiles() {
	closeAll(s.files[:]...)
	s.files = [3]*os.File{}
}

// Attach takes over the master of the program's terminal and starts to copy.
func (s *Streams) Attach(master *os.File) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terminal == nil {
		master.Close()
		return fmt.Errorf("streams without a terminal: %w", errdefs.ErrFailedPrecondition)
	}
	return s.terminal.attach(master)
}

// Resize sets the size of the terminal in characters; without one it does nothing.
func (s *Streams) Resize(width, height uint16) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terminal == nil {
		return nil
	}
	return s.terminal.resize(width, height)
}

// CloseStdin closes the daemon's end of standard input: the program reads its end as
// soon as the client has closed its own. May be called again.
func (s *Streams) CloseStdin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keep != nil {
		s.keeper.Drop(roleStdin)
		s.keep.Close()
	}
	s.keep, s.fifo = nil, false
}

// Close ends the copying, once the terminal's output is written or ctx is done, and closes
// everything. A logging program is left to read the rest and told to end when it does
// not by itself. May be called again.
func (s *Streams) Close(ctx context.Context) {
	s.CloseStdin()
	s.mu.Lock()
	s.closeFiles()
	terminal, logger := s.terminal, s.logger
	s.terminal, s.logger = nil, nil
	s.mu.Unlock()
	if terminal != nil {
		terminal.close(ctx)
	}
	if logger != nil {
		logger.stop(ctx)
	}
}

// Hangup closes everything at once: what a terminal has not written yet is lost, and its
// session gets SIGHUP.
func (s *Streams) Hangup() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.Close(ctx)
}

// Resume returns the Streams of a process that an earlier daemon has started, made of what
// opts.Keeper has kept: copying goes on where it was, to the byte. Of what was not kept a
// terminal is lost; the daemon's end of a stdin FIFO can be had again by its name, if nobody
// has hung up meanwhile. It is not wanted when CloseStdin was called before, which the caller
// knows. Also with an error there are Streams, with less than there was.
func Resume(cfg Config, opts Options, stdinClosed bool) (*Streams, error) {
	if opts.Keeper == nil {
		opts.Keeper = nobody{}
	}
	s := &Streams{keeper: opts.Keeper}
	if !stdinClosed {
		s.resumeInput(cfg)
	}
	if !cfg.Terminal {
		return s, nil
	}
	var err error
	s.terminal, err = resumeTerminal(opts)
	return s, err
}

func (s *Streams) resumeInput(cfg Config) {
	in, err := parse("stdin", cfg.Stdin)
	if err != nil || in.kind != path {
		return
	}
	if kept := s.keeper.Take(roleStdin); len(kept) > 0 {
		s.keep = kept[0]
		closeAll(kept[1:]...)
		return
	}
	if fifo, err := isFIFO(in.path); err == nil && fifo && !cfg.Terminal {
		// An error means that the program has closed its end.
		if s.keep, _ = kernel.Open(in.path, unix.O_WRONLY|unix.O_NONBLOCK, 0); s.keep != nil {
			s.keeper.Keep(roleStdin, s.keep)
		}
	}
}
