// SPDX-License-Identifier: Apache-2.0

package top

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/testnode"
)

// childMode is set in the environment of this test's own program when it is to show a view on its
// terminal.
const childMode = "SARDINE_TOP_TEST"

func TestMain(m *testing.M) {
	if mode := os.Getenv(childMode); mode != "" {
		if err := child(mode, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(mode, socket string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o := Options{Address: socket, Interval: minInterval, Sort: ByName}
	switch mode {
	case "watch":
		return Watch(ctx, o)
	case "shell":
		return shell(socket)
	}
	tty, err := openTerminal(controlling)
	if err != nil {
		return err
	}
	w := newWatch(&reporter{options: o}, manyPods(1), tty)
	defer func() { err = w.end() }()
	switch mode {
	case "panic":
		w.view.report = nil // frame cannot do without
	case "panic beside":
		w.reporter.sampler.client = nil // nor the other goroutine
	}
	return w.run(ctx)
}

// shell has a view as its job, which can be stopped because there is somebody to continue it.
func shell(socket string) error {
	job := exec.Command(os.Args[0], socket)
	job.Env = append(os.Environ(), childMode+"=watch")
	job.Stdin, job.Stdout, job.Stderr = os.Stdin, os.Stdout, os.Stderr
	job.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Foreground: true, Pdeathsig: syscall.SIGKILL}
	return job.Run()
}

// pty is a terminal with a program on it.
type pty struct {
	t      *testing.T
	master *os.File
	slave  *os.File
	cmd    *exec.Cmd
	pid    int // of the program that draws
	before unix.Termios
	ended  chan error

	mu     sync.Mutex // guards what follows
	screen emulator
	all    strings.Builder
}

// startOn starts a child on a terminal of 80x24.
func startOn(t *testing.T, mode, socket string) *pty {
	t.Helper()
	p := &pty{t: t, ended: make(chan error, 1)}
	p.open()
	p.resize(80, 24)
	p.before = p.termios()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command(self, socket)
	p.cmd.Env = append(os.Environ(), childMode+"="+mode, "GORACE=atexit_sleep_ms=0")
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = p.slave, p.slave, p.slave
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.pid = p.cmd.Process.Pid
	go p.read()
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		p.master.Close()
		p.slave.Close()
	})
	return p
}

func (p *pty) open() {
	p.t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	p.master = master
	var number int
	err = (&terminal{file: master}).control(func(fd int) (err error) {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	if p.slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pty) resize(width, height int) {
	p.t.Helper()
	p.mu.Lock()
	p.screen.lines = nil // as a terminal may do
	p.mu.Unlock()
	err := (&terminal{file: p.master}).control(func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(width), Row: uint16(height)})
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *pty) termios() unix.Termios {
	p.t.Helper()
	var found *unix.Termios
	err := (&terminal{file: p.slave}).control(func(fd int) (err error) {
		found, err = unix.IoctlGetTermios(fd, unix.TCGETS)
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return *found
}

func (p *pty) read() {
	buf := make([]byte, 64<<10)
	for {
		n, err := p.master.Read(buf)
		p.mu.Lock()
		p.screen.write(buf[:n])
		p.all.Write(buf[:n])
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (p *pty) press(keys string) {
	p.t.Helper()
	if _, err := p.master.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pty) shown() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.screen.lines, "\n")
}

// await waits until the screen is as it should be.
func (p *pty) await(what string, holds func(screen string) bool) {
	p.t.Helper()
	for deadline := time.Now().Add(testnode.Patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if holds(p.shown()) {
			return
		}
	}
	p.t.Fatalf("not within %v: %s; the screen:\n%s", testnode.Patience, what, p.shown())
}

func (p *pty) awaitText(text string) {
	p.t.Helper()
	p.await(text, func(screen string) bool { return strings.Contains(screen, text) })
}

// restored waits for the end of the program and checks how it left the terminal.
func (p *pty) restored(status int) {
	p.t.Helper()
	select {
	case err := <-p.ended:
		var exit *exec.ExitError
		if got := p.cmd.ProcessState.ExitCode(); got != status || err != nil && !errors.As(err, &exit) {
			p.t.Errorf("exit status %d (%v), want %d:\n%s", got, err, status, p.shown())
		}
	case <-time.After(testnode.Patience):
		p.t.Fatalf("it did not end; the screen:\n%s", p.shown())
	}
	p.unchanged()
	p.await("the screen it left", func(string) bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return !p.screen.alternate && !p.screen.noCursor && !p.screen.noWrap
	})
}

// unchanged checks the settings of the terminal.
func (p *pty) unchanged() {
	p.t.Helper()
	if now := p.termios(); now != p.before {
		p.t.Errorf("the terminal's settings are\n%+v, and were\n%+v", now, p.before)
	}
}

// emulator is a terminal as far as the view needs one. Every control sequence that it
// does not know shows.
type emulator struct {
	lines                       []string
	row, column                 int
	alternate, noCursor, noWrap bool
	pending                     string
}

func (e *emulator) write(text []byte) {
	e.pending += string(text)
	for e.pending != "" {
		n := e.step(e.pending)
		if n == 0 {
			return
		}
		e.pending = e.pending[n:]
	}
}

// step takes what is next, 0 when it is not all there.
func (e *emulator) step(s string) int {
	switch {
	case s[0] == '\n':
		e.row++
		return 1
	case s[0] == '\r':
		e.column = 0
		return 1
	case s[0] != escape:
		for len(e.lines) <= e.row {
			e.lines = append(e.lines, "")
		}
		e.lines[e.row] += s[:1]
		return 1
	}
	end := strings.IndexFunc(s, func(r rune) bool { return r >= '@' && r <= '~' && r != '[' })
	if end < 0 {
		return 0
	}
	e.sequence(s[1 : end+1])
	return end + 1
}

func (e *emulator) sequence(s string) {
	switch s {
	case "[?1049h", "[?1049l":
		e.alternate, e.lines = s == "[?1049h", nil
	case "[?25l", "[?25h":
		e.noCursor = s == "[?25l"
	case "[?7l", "[?7h":
		e.noWrap = s == "[?7l"
	case "[2J":
		e.lines = nil
	case "[K":
		if e.row < len(e.lines) {
			e.lines[e.row] = "" // it is sent at the start of a line
		}
	case "[?2026h", "[?2026l", "[0m", "[1m", "[7m":
	default:
		if n, err := fmt.Sscanf(s, "[%d;1H", &e.row); n != 1 || err != nil {
			e.lines = append(e.lines, "unknown sequence "+s)
		}
		e.row--
	}
}
