// SPDX-License-Identifier: Apache-2.0

package podlog

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/testnode"
)

// smallDisk is a file system of size KiB that is mounted nowhere: a path to its root.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	testnode.NeedRoot(t)
	context, err := kernel.FSOpen("tmpfs")
	if err != nil {
		t.Fatal(err)
	}
	defer context.Close()
	if err := context.SetString("size", fmt.Sprint(size, "k")); err != nil {
		t.Fatal(err)
	}
	mount, err := context.Mount(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(mount) })
	return fmt.Sprint("/proc/self/fd/", mount)
}

// journalText collects what the Hub logs.
type journalText struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journalText) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journalText) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.buf.String(), text)
}

func newJournalText() (*journalText, *slog.Logger) {
	j := &journalText{}
	return j, slog.New(slog.NewTextHandler(j, nil))
}

const lossMessage = "log of container cannot be written"

func TestFullDisk(t *testing.T) {
	said, logger := newJournalText()
	h := newHub(t, Options{Log: logger})
	cfg := newConfig(t)
	disk := smallDisk(t, 64)
	cfg.Path = disk + "/0.log"
	b := openBox(t, h, cfg)

	const count, size = 20_000, 20
	for i := range count { // does not block
		b.print(b.stdout, fmt.Sprintf("%019d\n", i))
	}
	testnode.Eventually(t, "everything is read", func() bool { return waiting(t, b.stdout) == 0 })
	testnode.Eventually(t, "the worker is done", func() bool {
		return len(readLog(t, cfg.Path))+int(h.Lost())/size == count
	})
	if h.Lost() == 0 || h.Lost()%size != 0 {
		t.Errorf("lost %d bytes, want whole lines", h.Lost())
	}
	entries := readLog(t, cfg.Path)
	if len(entries) < 500 {
		t.Errorf("only %d lines were written", len(entries))
	}
	for i, e := range entries {
		if want := fmt.Sprintf("%019d", i); e.text != want || e.tag != "F" {
			t.Fatalf("line %d is %+v", i, e)
		}
	}
	if n := said.count(lossMessage); n != 1 {
		t.Errorf("the loss was logged %d times", n)
	}

	if err := os.Rename(cfg.Path, cfg.Path+".1"); err != nil { // somebody makes room
		t.Fatal(err)
	}
	if err := os.Remove(cfg.Path + ".1"); err != nil {
		t.Fatal(err)
	}
	tries := 0
	testnode.Eventually(t, "the file is written again", func() bool {
		b.print(b.stdout, fmt.Sprintf("again %d\n", tries))
		tries++
		return len(readLog(t, cfg.Path)) > 0
	})
	b.drain()
	last := readLog(t, cfg.Path)
	if got, want := last[len(last)-1].text, fmt.Sprint("again ", tries-1); got != want {
		t.Errorf("the last line is %q, want %q", got, want)
	}
	if said.count("written again") != 1 {
		t.Error("nothing is said of the end of the loss")
	}
}

// A file that cannot be longer makes write(2) short in the middle of a line.
func TestShortWrite(t *testing.T) {
	cfg := newConfig(t)
	cfg.Path = smallDisk(t, 8) + "/0.log"
	h := newHub(t, Options{})
	b := openBox(t, h, cfg)
	text := strings.Repeat("x", 2999) + "\n"
	b.print(b.stdout, strings.Repeat(text, 5))
	b.drain()
	entries := readLog(t, cfg.Path)
	if len(entries) != 2 || h.Lost() != 3*3000 {
		t.Errorf("got %s and %d lost bytes, want two lines and 9000", tags(entries), h.Lost())
	}
}

func TestVanishedDirectory(t *testing.T) {
	said, logger := newJournalText()
	h := newHub(t, Options{Log: logger})
	cfg := newConfig(t)
	dir := filepath.Join(t.TempDir(), "pod", "container")
	cfg.Path = filepath.Join(dir, "0.log")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b := openBox(t, h, cfg)
	b.print(b.stdout, "before\n")
	testnode.Eventually(t, "the first line", func() bool { return len(readLog(t, cfg.Path)) == 1 })
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	const lost = 300_000
	b.print(b.stdout, strings.Repeat("into the void\n", lost/14)+"12345\n")
	testnode.Eventually(t, "the loss is counted", func() bool { return h.Lost() == lost/14*14+6 })
	if n := said.count(lossMessage); n != 1 {
		t.Errorf("the loss was logged %d times", n)
	}
	if err := b.Reopen(); !errdefs.IsNotFound(err) {
		t.Errorf("Reopen without a directory: %v, want not found", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := b.Reopen(); err != nil {
		t.Fatal(err)
	}
	b.print(b.stdout, "after\n")
	b.drain()
	equal(t, "stdout", lines(readLog(t, cfg.Path), "stdout"), []string{"after"})
}

func TestMissingDirectoryIsNoReasonNotToStart(t *testing.T) {
	said, logger := newJournalText()
	h := newHub(t, Options{Log: logger})
	cfg := newConfig(t)
	cfg.Path = filepath.Join(t.TempDir(), "missing", "0.log")
	b := openBox(t, h, cfg)
	b.print(b.stdout, "lost\n")
	testnode.Eventually(t, "the loss is counted", func() bool { return h.Lost() == 5 })
	if err := os.Mkdir(filepath.Dir(cfg.Path), 0o755); err != nil {
		t.Fatal(err)
	}
	testnode.Eventually(t, "the file is there", func() bool {
		b.print(b.stdout, "try\n")
		return len(readLog(t, cfg.Path)) > 0
	})
	if n := said.count(lossMessage); n != 1 {
		t.Errorf("the loss was logged %d times", n)
	}
}

func TestRemovedFileIsMadeAgain(t *testing.T) {
	h := newHub(t, Options{})
	b := openBox(t, h, newConfig(t))
	b.print(b.stdout, "first\n")
	testnode.Eventually(t, "the first line", func() bool { return len(readLog(t, b.cfg.Path)) == 1 })
	if err := os.Remove(b.cfg.Path); err != nil {
		t.Fatal(err)
	}
	b.print(b.stdout, "second\n")
	b.drain()
	equal(t, "stdout", lines(readLog(t, b.cfg.Path), "stdout"), []string{"second"})
	if h.Lost() != 0 {
		t.Errorf("lost %d bytes", h.Lost())
	}
}

func TestOnlyRegularFilesAreLogs(t *testing.T) {
	victim := filepath.Join(t.TempDir(), "victim")
	for name, make := range map[string]func(path string) error{
		"link":          func(path string) error { return os.Symlink(victim, path) },
		"dangling link": func(path string) error { return os.Symlink(victim+"-missing", path) },
		"FIFO":          MakeFIFO,
		"directory":     func(path string) error { return os.Mkdir(path, 0o755) },
		"device":        func(path string) error { return unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(victim, []byte("untouched\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg := newConfig(t)
			if err := make(cfg.Path); errors.Is(err, unix.EPERM) {
				testnode.Unavailable(t, err.Error())
			} else if err != nil {
				t.Fatal(err)
			}
			h := newHub(t, Options{})
			b := openBox(t, h, cfg)
			if err := b.Reopen(); !errdefs.IsInvalidArgument(err) {
				t.Errorf("Reopen: %v, want invalid argument", err)
			}
			b.print(b.stdout, "text\n")
			b.drain()
			if h.Lost() != 5 {
				t.Errorf("lost %d bytes, want 5", h.Lost())
			}
			if data, _ := os.ReadFile(victim); string(data) != "untouched\n" {
				t.Errorf("the victim holds %q", data)
			}
			if _, err := os.Stat(victim + "-missing"); err == nil {
				t.Error("a file was made through the link")
			}
		})
	}
}

func TestTornLineIsTakenBack(t *testing.T) {
	const whole = "2026-01-02T03:04:05Z stdout F whole\n"
	for text, want := range map[string]string{
		"":                           "",
		whole:                        whole,
		whole + whole:                whole + whole,
		"2026-01-02T03":              "",
		whole + "2026-01-02T03:04:0": whole,
		strings.Repeat("y", 100_000): strings.Repeat("y", 100_000) + "\n", // none of ours
	} {
		path := filepath.Join(t.TempDir(), "0.log")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f := file{path: path, fd: -1}
		if _, err := f.ready(DefaultMaxLine, time.Now()); err != nil {
			t.Fatal(err)
		}
		f.close()
		if got, _ := os.ReadFile(path); string(got) != want {
			t.Errorf("%.40q became %.40q, want %.40q", text, got, want)
		}
	}
}

func TestReopenWithoutRename(t *testing.T) {
	b := openBox(t, newHub(t, Options{}), newConfig(t))
	b.print(b.stdout, "one\n")
	testnode.Eventually(t, "the first line", func() bool { return len(readLog(t, b.cfg.Path)) == 1 })
	if err := b.Reopen(); err != nil {
		t.Fatal(err)
	}
	b.print(b.stdout, "two\n")
	b.drain()
	equal(t, "stdout", lines(readLog(t, b.cfg.Path), "stdout"), []string{"one", "two"})
}

// Rotation as the kubelet does it, while two programs print: each line is in one file, and all
// are there.
func TestRotationUnderLoad(t *testing.T) {
	h := newHub(t, Options{Journal: filepath.Join(t.TempDir(), "journal")})
	b := openBox(t, h, newConfig(t))
	const count = 150_000
	script := fmt.Sprintf(`i=0; while [ $i -lt %d ]; do echo "line $i of those that are printed"; i=$((i+1)); done`, count)
	var programs []*exec.Cmd
	for _, f := range []*os.File{b.stdout, b.stderr} {
		cmd := exec.Command("/bin/sh", "-c", script)
		cmd.Stdout = f
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		programs = append(programs, cmd)
	}
	b.hangUp()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for _, cmd := range programs {
			cmd.Wait()
		}
	}()
	rotated := []string{}
	for running := true; running; {
		select {
		case <-ended:
			running = false
		default:
		}
		name := fmt.Sprintf("%s.%04d", b.cfg.Path, len(rotated))
		if err := os.Rename(b.cfg.Path, name); err != nil {
			t.Fatal(err)
		}
		if err := b.Reopen(); err != nil {
			t.Fatal(err)
		}
		rotated = append(rotated, name)
		time.Sleep(time.Millisecond)
	}
	b.drain()
	var entries []entry
	for _, path := range append(rotated, b.cfg.Path) {
		entries = append(entries, readLog(t, path)...)
	}
	if len(rotated) < 10 {
		t.Errorf("only %d rotations", len(rotated))
	}
	for _, stream := range []string{"stdout", "stderr"} {
		got := lines(entries, stream)
		if len(got) != count {
			t.Errorf("%s: %d lines in %d files, want %d", stream, len(got), len(rotated)+1, count)
		}
		for i, line := range got {
			if line != fmt.Sprintf("line %d of those that are printed", i) {
				t.Fatalf("%s: line %d is %q", stream, i, line)
			}
		}
	}
}

// goroutines counts those of this package's workers and senders.
func goroutines(t testing.TB) int {
	t.Helper()
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtimeStack(stacks)]
	count := 0
	scan := bufio.NewScanner(bytes.NewReader(stacks))
	for scan.Scan() {
		if line := scan.Text(); strings.Contains(line, "podlog.(*Hub).work(") || strings.Contains(line, "podlog.(*sender).run(") {
			count++
		}
	}
	return count
}
