// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/testnode"
)

// newTerminalPair opens a new terminal: pty(7).
func newTerminalPair(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := kernel.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// onTerminal runs a shell script on a new terminal whose master it attaches.
func onTerminal(t *testing.T, s *Streams, script string) *exec.Cmd {
	t.Helper()
	master, slave := newTerminalPair(t)
	defer slave.Close()
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if err := s.Attach(master); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func TestTerminal(t *testing.T) {
	in, out := mkfifo(t, "in"), mkfifo(t, "out")
	stdout := reader(t, out)
	s := open(t, Config{Stdin: in, Stdout: out, Terminal: true})
	onTerminal(t, s, `read word; stty size; echo "got $word"`)
	if err := s.Resize(100, 30); err != nil {
		t.Fatal(err)
	}
	client, err := os.OpenFile(in, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.WriteString("hello\n"); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, stdout); got != "hello\r\n30 100\r\ngot hello\r\n" {
		t.Errorf("terminal: %q", got)
	}
}

// TestTerminalDrains: what the program wrote last arrives, however slow the reader.
func TestTerminalDrains(t *testing.T) {
	out := mkfifo(t, "out")
	stdout := reader(t, out)
	s := open(t, Config{Stdout: out, Terminal: true})
	cmd := onTerminal(t, s, "i=0; while [ $i -lt 3000 ]; do echo $i 56789012345678901234567890; i=$((i+1)); done")
	got := make(chan string)
	go func() {
		time.Sleep(100 * time.Millisecond)
		got <- readAll(t, stdout)
	}()
	cmd.Wait()
	s.Close(t.Context())
	if text := <-got; !strings.HasSuffix(text, "2999 56789012345678901234567890\r\n") {
		t.Errorf("read %d bytes without the end", len(text))
	}
}

// TestTerminalCloseIsBounded: a reader that does not read cannot hold up a delete.
func TestTerminalCloseIsBounded(t *testing.T) {
	out := mkfifo(t, "out")
	reader(t, out)
	s := open(t, Config{Stdout: out, Terminal: true})
	onTerminal(t, s, "yes")
	time.Sleep(50 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	s.Close(ctx)
	if took := time.Since(began); took > testnode.Patience { // nobody ever reads
		t.Errorf("Close took %v", took)
	}
}

func TestTerminalWithoutStreams(t *testing.T) {
	s := open(t, Config{Terminal: true})
	cmd := onTerminal(t, s, "i=0; while [ $i -lt 3000 ]; do echo 01234567890123456789; i=$((i+1)); done")
	if err := cmd.Wait(); err != nil { // it would block on a full terminal
		t.Error(err)
	}
}

func TestTerminalToFile(t *testing.T) {
	log := t.TempDir() + "/log"
	s := open(t, Config{Stdout: "file://" + log, Terminal: true})
	onTerminal(t, s, "echo hello").Wait()
	s.Close(t.Context())
	if text, _ := os.ReadFile(log); string(text) != "hello\r\n" {
		t.Errorf("log holds %q", text)
	}
}

func TestTerminalToLogger(t *testing.T) {
	uri, dir := loggingProgram(t, `dir=$2
cat <&3 >$dir/out 5>&- & exec 3<&- 4<&- 5>&-
wait`)
	s := open(t, Config{Stdout: uri + "?dir=" + dir, Terminal: true})
	onTerminal(t, s, "echo hello").Wait()
	s.Close(t.Context())
	if text, _ := os.ReadFile(dir + "/out"); string(text) != "hello\r\n" {
		t.Errorf("log holds %q", text)
	}
}

func TestAttachWithoutTerminal(t *testing.T) {
	testnode.CheckClean(t, testnode.Options{})
	s := open(t, Config{})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := s.Attach(r); !errdefs.IsFailedPrecondition(err) {
		t.Error(err)
	}
}
