// SPDX-License-Identifier: Apache-2.0

package top

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// controlling is the terminal that keys come from, whatever standard input is.
const controlling = "/dev/tty"

// Watch shows reports on the terminal until the user has seen enough or ctx ends. It
// fails when the first sample does, before it takes the terminal.
func Watch(ctx context.Context, o Options) (err error) {
	r, err := open(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	first, err := r.report(ctx)
	if err != nil {
		return err
	}
	tty, err := openTerminal(controlling)
	if err != nil {
		return err
	}
	w := newWatch(r, first, tty)
	defer func() { err = errors.Join(err, w.end()) }()
	return w.run(ctx)
}

// watch is the view on a terminal.
type watch struct {
	view     view
	screen   screen
	terminal *terminal
	reporter *reporter

	width, height int // of the last frame

	signals  chan os.Signal
	pressed  chan key
	outcomes chan outcome
	done     chan struct{} // closed when the goroutines are to end
	running  sync.WaitGroup
}

func newWatch(r *reporter, first *Report, tty *terminal) *watch {
	return &watch{
		view: view{options: r.options, report: first}, terminal: tty, reporter: r,
		signals: make(chan os.Signal, 4), pressed: make(chan key), outcomes: make(chan outcome), done: make(chan struct{}),
	}
}

// outcome of a sample.
type outcome struct {
	report *Report
	err    error
}

func (w *watch) run(ctx context.Context) error {
	ctx, cancel := signal.NotifyContext(ctx, unix.SIGHUP, unix.SIGQUIT)
	defer cancel()
	// A terminal that takes nothing must not keep the program from ending.
	context.AfterFunc(ctx, func() { _ = w.terminal.file.SetWriteDeadline(time.Now()) })
	signal.Notify(w.signals, unix.SIGWINCH, unix.SIGCONT)
	defer signal.Stop(w.signals)
	w.start(func() { w.sample(ctx) })
	w.start(func() { w.terminal.keys(w.send) })
	for {
		if err := w.draw(); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case o := <-w.outcomes:
			w.view.update(o.report, o.err, time.Now())
		case k := <-w.pressed:
			if quit, err := w.press(k); quit || err != nil {
				return err
			}
		case s := <-w.signals:
			if err := w.signal(s); err != nil {
				return err
			}
		}
	}
}

// start runs f in a goroutine that end waits for.
func (w *watch) start(f func()) {
	w.running.Go(func() { w.terminal.guard(f) })
}

// end makes the terminal as it was.
func (w *watch) end() error {
	close(w.done)
	err := w.terminal.close()
	w.running.Wait()
	return err
}

func (w *watch) draw() error {
	width, height, err := w.terminal.size()
	if err != nil {
		return err
	}
	if width != w.width || height != w.height {
		w.width, w.height = width, height
		w.screen.forget()
	}
	if out := w.screen.draw(w.view.frame(width, height)); out != nil {
		_, err = w.terminal.file.Write(out)
	}
	return err
}

func (w *watch) press(k key) (quit bool, err error) {
	switch k {
	case 'q', keyQuit:
		return true, nil
	case keySuspend:
		return false, w.suspend()
	case keyRedraw:
		w.screen.forget()
	default:
		w.view.press(k)
	}
	return false, nil
}

// signal is told of a new size, which draw finds itself, and of going on after a stop.
func (w *watch) signal(s os.Signal) error {
	if s != unix.SIGCONT {
		return nil
	}
	w.screen.forget() // the shell has used the terminal
	return w.terminal.take()
}

// suspend stops the program as Ctrl-Z does, with the terminal as it was meanwhile.
func (w *watch) suspend() error {
	if err := w.terminal.leave(); err != nil {
		return err
	}
	if err := stop(); err != nil {
		return err
	}
	w.screen.forget()
	return w.terminal.take()
}

// stop the program until it is continued. Nothing happens if nobody could: its group is
// orphaned. The signal is for this thread, so that it cannot return before it is stopped. The
// runtime must not have been asked for it, or it never stops anything again.
func stop() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return unix.Tgkill(unix.Getpid(), unix.Gettid(), unix.SIGTSTP)
}

// sample reports again and again. A sample that takes long delays the next.
func (w *watch) sample(ctx context.Context) {
	ticker := time.NewTicker(w.reporter.options.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		report, err := w.reporter.report(ctx)
		select {
		case <-ctx.Done():
			return
		case w.outcomes <- outcome{report, err}:
		}
	}
}

// send hands a key over, unless the view has ended.
func (w *watch) send(k key) bool {
	select {
	case w.pressed <- k:
		return true
	case <-w.done:
		return false
	}
}
