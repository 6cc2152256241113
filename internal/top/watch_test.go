// SPDX-License-Identifier: Apache-2.0

package top

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/testnode"
)

// first waits for the pod in the table's first row.
func (p *pty) first(pod string) {
	p.t.Helper()
	p.await(pod+" first", func(screen string) bool {
		lines := strings.Split(screen, "\n")
		return len(lines) > 5 && strings.HasPrefix(lines[5], "ns/"+pod+" ")
	})
}

func TestWatch(t *testing.T) {
	f := startCRI(t, 60)
	p := startOn(t, "watch", f.socket)
	p.awaitText("1-18 of 60  by name")
	p.first("pod-001")
	p.awaitText("fake 0.9 at " + f.socket)
	p.awaitText("10.0.0.1")
	if p.termios() == p.before {
		t.Error("the terminal echoes keys")
	}
	p.press("m")
	p.first("pod-060")
	p.press("i")
	p.first("pod-001")
	p.press("\x1b[6~")
	p.first("pod-019")
	p.press("\x1b")
	p.press("[B") // a key in two parts
	p.first("pod-020")
	p.press("G")
	p.awaitText("43-60 of 60")
	p.press("gt")
	p.awaitText("  app ")
	p.press("t")

	p.resize(40, 8)
	p.awaitText("1-6 of 60")
	p.await("no columns that have no room", func(screen string) bool { return !strings.Contains(screen, "AGE") })
	p.resize(200, 50)
	p.awaitText("1-44 of 60")
	p.awaitText("IP")

	f.set(func(f *fakeCRI) { f.count = 2 })
	p.awaitText("1-2 of 2")
	f.stop()
	p.awaitText("no daemon at " + f.socket)
	p.awaitText("ns/pod-002") // as it was
	f.set(func(f *fakeCRI) { f.count = 3 })
	f.start(t)
	p.awaitText("1-3 of 3")
	p.await("no trouble", func(screen string) bool { return !strings.Contains(screen, "since") })
	p.press("\x1a") // nobody could continue it
	p.press("m")
	p.awaitText("by memory")
	p.press("q")
	p.restored(0)
}

// What does not change is not written: nothing flickers, and a slow line has little to carry.
func TestWatchWritesLittle(t *testing.T) {
	f := startCRI(t, 60)
	p := startOn(t, "watch", f.socket)
	p.awaitText("1-18 of 60")
	clears := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return strings.Count(p.all.String(), eraseScreen)
	}
	if n := clears(); n != 1 {
		t.Errorf("the screen was erased %d times", n)
	}
	p.press("j")
	p.first("pod-002")
	p.press("\x0c") // Ctrl-L asks for it
	p.await("drawn anew", func(string) bool { return clears() == 2 })
	p.press("q")
	p.restored(0)
}

func TestWatchEnds(t *testing.T) {
	f := startCRI(t, 3)
	for name, end := range map[string]func(*pty){
		"q":       func(p *pty) { p.press("q") },
		"Ctrl-C":  func(p *pty) { p.press("\x03") },
		"SIGTERM": func(p *pty) { p.signal(syscall.SIGTERM) },
		"SIGINT":  func(p *pty) { p.signal(syscall.SIGINT) },
		"SIGHUP":  func(p *pty) { p.signal(syscall.SIGHUP) },
		"SIGQUIT": func(p *pty) { p.signal(syscall.SIGQUIT) },
	} {
		t.Run(name, func(t *testing.T) {
			p := startOn(t, "watch", f.socket)
			p.awaitText("1-3 of 3")
			end(p)
			p.restored(0)
		})
	}
}

func (p *pty) signal(s syscall.Signal) {
	p.t.Helper()
	if err := unix.Kill(p.pid, s); err != nil {
		p.t.Fatal(err)
	}
}

func TestWatchEndsInAPanic(t *testing.T) {
	for _, mode := range []string{"panic", "panic beside"} {
		t.Run(mode, func(t *testing.T) {
			p := startOn(t, mode, "/none")
			p.restored(2)
			p.awaitText("panic: runtime error")
		})
	}
}

// The first sample is taken before the terminal is.
func TestWatchWithoutDaemon(t *testing.T) {
	p := startOn(t, "watch", "/none/s")
	p.restored(1)
	p.awaitText("no daemon at /none/s")
	p.mu.Lock()
	defer p.mu.Unlock()
	if strings.Contains(p.all.String(), "\x1b") {
		t.Errorf("written: %q", p.all.String())
	}
}

// Nobody reads what a terminal shows: it takes no more, and the program must end all the same.
func TestWatchEndsOnAStoppedTerminal(t *testing.T) {
	f := startCRI(t, 60)
	p := startOn(t, "watch", f.socket)
	p.awaitText("1-18 of 60")
	p.mu.Lock() // the reader waits
	p.press(strings.Repeat("i", 1000))
	p.awaitStuck()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(testnode.Patience):
		t.Error("it did not end")
	}
	p.mu.Unlock()
	p.unchanged()
}

// awaitStuck waits until the program reads keys no more, because it cannot write what they do.
func (p *pty) awaitStuck() {
	p.t.Helper()
	const looks = 30
	left, same := 0, 0
	for deadline := time.Now().Add(testnode.Patience); same < looks; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("it has read all keys but %d", left)
		}
		var now int
		err := (&terminal{file: p.slave}).control(func(fd int) (err error) {
			now, err = unix.IoctlGetInt(fd, unix.TIOCINQ)
			return err
		})
		if err != nil {
			p.t.Fatal(err)
		}
		if same++; now == 0 || now != left {
			left, same = now, 0
		}
	}
}

// state is that of the program's process, as ps shows it.
func (p *pty) state() byte {
	p.t.Helper()
	stat, err := kernel.ReadProcStat(p.pid)
	if err != nil {
		p.t.Fatal(err)
	}
	return stat.State
}

// findJob looks for the program that a shell has started.
func (p *pty) findJob(string) bool {
	for _, pid := range processesNamed(filepath.Base(p.cmd.Path)) {
		if stat, err := kernel.ReadProcStat(pid); err == nil && stat.PPid == p.cmd.Process.Pid {
			p.pid = pid
			return true
		}
	}
	return false
}

func TestWatchIsSuspended(t *testing.T) {
	f := startCRI(t, 3)
	p := startOn(t, "shell", f.socket)
	p.awaitText("1-3 of 3")
	p.await("the shell's job", p.findJob) // before it draws, a child may be one that os/exec has tried pidfds with
	p.press("\x1a")
	p.await("stopped", func(string) bool { return p.state() == 'T' })
	p.unchanged()
	p.signal(unix.SIGCONT)
	p.awaitText("1-3 of 3")
	p.signal(unix.SIGSTOP)
	p.await("stopped", func(string) bool { return p.state() == 'T' })
	if _, err := p.slave.WriteString(leaveScreen + "\rthe shell writes"); err != nil {
		t.Fatal(err)
	}
	p.awaitText("the shell writes")
	p.signal(unix.SIGCONT)
	p.await("drawn anew", func(screen string) bool { return !strings.Contains(screen, "the shell writes") })
	p.awaitText("1-3 of 3")
	p.press("q")
	p.restored(0)
}
