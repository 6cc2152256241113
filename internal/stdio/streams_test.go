// SPDX-License-Identifier: Apache-2.0

package stdio

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/testnode"
)

func mkfifo(t *testing.T, name string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	if err := unix.Mkfifo(p, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// reader opens a FIFO as a client does, without waiting for a writer.
func reader(t *testing.T, fifo string) *os.File {
	t.Helper()
	f, err := os.OpenFile(fifo, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func open(t *testing.T, cfg Config) *Streams {
	t.Helper()
	testnode.CheckClean(t, testnode.Options{})
	s, err := Open(t.Context(), cfg, Options{UID: -1, ID: "box", Namespace: "space", Reap: reapByWait, Pump: newPump(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	return s
}

func newPump(t *testing.T) *Pump {
	t.Helper()
	pump := &Pump{}
	t.Cleanup(func() {
		if err := pump.Close(); err != nil {
			t.Error(err)
		}
	})
	return pump
}

// reapByWait reaps in a goroutine, where the daemon has its watcher.
func reapByWait(pid int, pidfd *os.File, ended func()) error {
	go func() {
		defer pidfd.Close()
		_ = unix.Waitid(unix.P_PIDFD, int(pidfd.Fd()), nil, unix.WEXITED, nil)
		ended()
	}()
	return nil
}

// program runs a shell script with the streams, as a container would: it waits until the
// files are released.
func program(t *testing.T, s *Streams, script string) *exec.Cmd {
	t.Helper()
	files := s.Files()
	cmd := exec.Command("/bin/sh", "-c", "read _ <&3; exec 3<&-\n"+script)
	wait, release, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{wait}
	// Assigned only if not nil: an interface that holds a nil *os.File is not nil.
	if files[0] != nil {
		cmd.Stdin = files[0]
	}
	if files[1] != nil {
		cmd.Stdout = files[1]
	}
	if files[2] != nil {
		cmd.Stderr = files[2]
	}
	err = cmd.Start()
	wait.Close()
	defer release.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if err := s.ReleaseFiles(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func readAll(t *testing.T, f *os.File) string {
	t.Helper()
	if err := f.SetReadDeadline(time.Now().Add(testnode.Patience)); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatalf("read %s: %v after %q", f.Name(), err, text)
	}
	return string(text)
}

func TestFIFOs(t *testing.T) {
	in, out, errs := mkfifo(t, "in"), mkfifo(t, "out"), mkfifo(t, "err")
	stdout, stderr := reader(t, out), reader(t, errs)
	s := open(t, Config{Stdin: in, Stdout: out, Stderr: errs})
	program(t, s, "cat; echo problem >&2")
	client, err := os.OpenFile(in, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.WriteString("hello\n"); err != nil {
		t.Fatal(err)
	}
	client.Close()
	s.CloseStdin()
	if got := readAll(t, stdout); got != "hello\n" {
		t.Errorf("stdout: %q", got)
	}
	if got := readAll(t, stderr); got != "problem\n" {
		t.Errorf("stderr: %q", got)
	}
}

// TestStdinStaysOpen: a client that goes away does not end the program's input.
func TestStdinStaysOpen(t *testing.T) {
	in, out := mkfifo(t, "in"), mkfifo(t, "out")
	stdout := reader(t, out)
	s := open(t, Config{Stdin: in, Stdout: out})
	program(t, s, "cat")
	for _, text := range []string{"one ", "two"} {
		client, err := os.OpenFile(in, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.WriteString(text); err != nil {
			t.Fatal(err)
		}
		client.Close()
	}
	s.CloseStdin()
	s.CloseStdin() // again does nothing
	if got := readAll(t, stdout); got != "one two" {
		t.Errorf("stdout: %q", got)
	}
}

// TestEarlyEnd: a client that has said everything before the process was there cannot have
// told the daemon, so the end is taken from the FIFO.
func TestEarlyEnd(t *testing.T) {
	in, out := mkfifo(t, "in"), mkfifo(t, "out")
	stdout := reader(t, out)
	s := open(t, Config{Stdin: in, Stdout: out})
	client, err := os.OpenFile(in, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.WriteString("all"); err != nil {
		t.Fatal(err)
	}
	client.Close()
	program(t, s, "cat")
	if got := readAll(t, stdout); got != "all" {
		t.Errorf("stdout: %q", got)
	}
}

// TestCloseBeforeRelease: CloseStdin may come while the process is being launched.
func TestCloseBeforeRelease(t *testing.T) {
	in, out := mkfifo(t, "in"), mkfifo(t, "out")
	stdout := reader(t, out)
	s := open(t, Config{Stdin: in, Stdout: out})
	s.CloseStdin()
	program(t, s, "cat; echo end")
	if got := readAll(t, stdout); got != "end\n" {
		t.Errorf("stdout: %q", got)
	}
}

// TestMissingReaderBlocks: the program is neither killed nor given an error.
func TestMissingReaderBlocks(t *testing.T) {
	out := mkfifo(t, "out")
	first := reader(t, out)
	s := open(t, Config{Stdout: out})
	cmd := program(t, s, "trap '' PIPE; dd if=/dev/zero bs=1024 count=200 2>/dev/null && echo end")
	first.Close()
	time.Sleep(100 * time.Millisecond)
	if err := cmd.Process.Signal(unix.Signal(0)); err != nil {
		t.Fatalf("the program ended without a reader: %v", err)
	}
	second := reader(t, out)
	if got := readAll(t, second); len(got) != 200*1024+4 || !strings.HasSuffix(got, "end\n") {
		t.Errorf("the second reader got %d bytes", len(got))
	}
}

// TestWaitsForReader: a program that ends before its client looks must not lose output.
func TestWaitsForReader(t *testing.T) {
	out := mkfifo(t, "out")
	opened := make(chan *os.File)
	go func() {
		time.Sleep(50 * time.Millisecond)
		f, err := os.OpenFile(out, os.O_RDONLY, 0)
		if err != nil {
			t.Error(err)
		}
		opened <- f
	}()
	s := open(t, Config{Stdout: out})
	program(t, s, "echo quick").Wait()
	f := <-opened
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil || string(text) != "quick\n" {
		t.Errorf("read %q, %v", text, err)
	}
}

func TestNoReader(t *testing.T) {
	testnode.CheckClean(t, testnode.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := Open(ctx, Config{Stdin: mkfifo(t, "in"), Stdout: mkfifo(t, "out")}, Options{UID: -1})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no client reads FIFO") {
		t.Errorf("open without a reader: %v", err)
	}
}

func TestFile(t *testing.T) {
	log := filepath.Join(t.TempDir(), "a/b/log")
	for range 2 {
		s := open(t, Config{Stdout: "file://" + log, Stderr: "file://" + log})
		if err := program(t, s, "echo out; echo err >&2").Wait(); err != nil {
			t.Fatal(err)
		}
		s.Close(t.Context())
	}
	text, err := os.ReadFile(log)
	if err != nil || string(text) != "out\nerr\nout\nerr\n" {
		t.Errorf("log holds %q, %v", text, err)
	}
}

func TestExistingFileIsAppended(t *testing.T) {
	dir := t.TempDir()
	input, log := filepath.Join(dir, "input"), filepath.Join(dir, "log")
	for name, text := range map[string]string{input: "typed\n", log: "before\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, Config{Stdin: input, Stdout: log, Stderr: log})
	program(t, s, "cat; echo err >&2").Wait()
	if text, _ := os.ReadFile(log); string(text) != "before\ntyped\nerr\n" {
		t.Errorf("log holds %q", text)
	}
}

func TestMissingPath(t *testing.T) {
	testnode.CheckClean(t, testnode.Options{})
	for _, cfg := range []Config{{Stdout: "/does/not/exist"}, {Stdin: "/does/not/exist"}, {Stdout: "binary:///does/not/exist"}} {
		_, err := Open(t.Context(), cfg, Options{UID: -1, Reap: reapByWait})
		if !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "/does/not/exist") {
			t.Errorf("%+v: %v; want ErrNotFound with the path", cfg, err)
		}
	}
}

func TestOwner(t *testing.T) {
	testnode.NeedRoot(t)
	testnode.CheckClean(t, testnode.Options{})
	out := mkfifo(t, "out")
	reader(t, out)
	s, err := Open(t.Context(), Config{Stdin: "/dev/null", Stdout: out}, Options{UID: 4711})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	var fifo, null unix.Stat_t
	if err := errors.Join(unix.Stat(out, &fifo), unix.Stat("/dev/null", &null)); err != nil {
		t.Fatal(err)
	}
	if fifo.Uid != 4711 || fifo.Gid != 0 {
		t.Errorf("the FIFO belongs to %d:%d", fifo.Uid, fifo.Gid)
	}
	if null.Uid != 0 {
		t.Errorf("/dev/null of the host belongs to %d", null.Uid)
	}
}

func TestEmpty(t *testing.T) {
	s := open(t, Config{})
	if s.Files() != [3]*os.File{} {
		t.Errorf("files: %v", s.Files())
	}
	if err := s.Resize(80, 24); err != nil {
		t.Error(err)
	}
}

func TestResume(t *testing.T) {
	testnode.CheckClean(t, testnode.Options{})
	in := mkfifo(t, "in")
	program, err := os.OpenFile(in, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	s := resume(t, Config{Stdin: in}, Options{}, false)
	if n, err := unix.Read(int(program.Fd()), make([]byte, 1)); n != -1 || err != unix.EAGAIN {
		t.Errorf("with the daemon's end open: read = %d, %v", n, err)
	}
	s.CloseStdin()
	if n, err := unix.Read(int(program.Fd()), make([]byte, 1)); n != 0 {
		t.Errorf("after CloseStdin: read = %d, %v", n, err)
	}
	resume(t, Config{Stdin: "/does/not/exist"}, Options{}, false).Close(t.Context())
}
