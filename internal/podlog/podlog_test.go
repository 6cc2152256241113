// SPDX-License-Identifier: Apache-2.0

package podlog

import (
	"bytes"
	"context"
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

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/stdio"
	"github.com/sardine-run/sardine/internal/testnode"
)

// initVariable names sardine-init, one mode of which holds descriptors.
const initVariable = "SARDINE_INIT"

// TestMain builds sardine-init unless SARDINE_INIT names one.
func TestMain(m *testing.M) {
	if os.Getenv(daemonVariable) != "" {
		daemon()
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Getenv(initVariable) != "" || os.Getuid() != 0 {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "podlog")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "sardine-init")
	build := exec.Command("go", "build", "-ldflags", "-s -w -E sardine_entry", "-o", path, "github.com/sardine-run/sardine/cmd/sardine-init")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build sardine-init: %v\n%s", err, out)
		return 1
	}
	os.Setenv(initVariable, path)
	return m.Run()
}

func newHub(t testing.TB, opts Options) *Hub {
	t.Helper()
	if opts.Log == nil {
		opts.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	h, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// newConfig makes the FIFOs of a container, and names its log.
func newConfig(t testing.TB) Config {
	t.Helper()
	dir := t.TempDir()
	cfg := Config{
		ID: filepath.Base(dir), Stdout: filepath.Join(dir, "stdout"), Stderr: filepath.Join(dir, "stderr"),
		Path: filepath.Join(dir, "0.log"),
	}
	for _, path := range []string{cfg.Stdout, cfg.Stderr} {
		if err := MakeFIFO(path); err != nil {
			t.Fatal(err)
		}
	}
	return cfg
}

// box is a container without walls.
type box struct {
	Log
	cfg            Config
	stdout, stderr *os.File // as internal/stdio opens them
	t              testing.TB
}

func openBox(t testing.TB, h *Hub, cfg Config) *box {
	t.Helper()
	l, err := h.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	b := &box{Log: l, cfg: cfg, t: t}
	b.openWriters()
	return b
}

// openWriters opens the FIFOs as the launch of a container does.
func (b *box) openWriters() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testnode.Patience)
	defer cancel()
	streams, err := stdio.Open(ctx, stdio.Config{Stdout: b.cfg.Stdout, Stderr: b.cfg.Stderr}, stdio.Options{UID: -1})
	if err != nil {
		b.t.Fatal(err)
	}
	b.stdout, b.stderr = streams.Files()[1], streams.Files()[2]
	b.t.Cleanup(b.hangUp)
}

func (b *box) print(f *os.File, text string) {
	b.t.Helper()
	if _, err := f.WriteString(text); err != nil {
		b.t.Fatal(err)
	}
}

// run has a shell write to the streams.
func (b *box) run(script string) {
	b.t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Stdout, cmd.Stderr = b.stdout, b.stderr
	if err := cmd.Run(); err != nil {
		b.t.Fatal(err)
	}
}

// hangUp is the end of the container's last process.
func (b *box) hangUp() {
	b.stdout.Close()
	b.stderr.Close()
}

// drain waits until all output was read.
func (b *box) drain() {
	b.t.Helper()
	b.hangUp()
	ctx, cancel := context.WithTimeout(context.Background(), testnode.Patience)
	defer cancel()
	if err := b.Drained(ctx); err != nil {
		b.t.Fatal(err)
	}
}

// entry is a line of a log file.
type entry struct {
	at     time.Time
	stream string
	tag    string
	text   string
}

// readLog parses a log file strictly; a missing one is empty.
func readLog(t testing.TB, path string) []entry {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if len(data) > 0 && data[len(data)-1] != '\n' {
		t.Fatalf("%s ends in the middle of a line: %q", path, data[max(0, len(data)-100):])
	}
	var entries []entry
	for line := range bytes.Lines(data) {
		fields := strings.SplitN(strings.TrimSuffix(string(line), "\n"), " ", 4)
		if len(fields) != 4 {
			t.Fatalf("%s: line %q", path, line)
		}
		at, err := time.Parse(time.RFC3339Nano, fields[0])
		if err != nil || fields[1] != "stdout" && fields[1] != "stderr" || fields[2] != "P" && fields[2] != "F" {
			t.Fatalf("%s: line %q: %v", path, line, err)
		}
		entries = append(entries, entry{at, fields[1], fields[2], fields[3]})
	}
	return entries
}

// lines are the lines of a stream, as the kubelet shows them: pieces put together. What
// has no end yet comes last, with a backslash.
func lines(entries []entry, stream string) []string {
	var out []string
	var piece strings.Builder
	open := false
	for _, e := range entries {
		if e.stream != stream {
			continue
		}
		piece.WriteString(e.text)
		if open = e.tag == "P"; !open {
			out = append(out, piece.String())
			piece.Reset()
		}
	}
	if open {
		out = append(out, piece.String()+`\`)
	}
	return out
}

// tags lists a stream's entries as stream, tag and length.
func tags(entries []entry) string {
	var out []string
	for _, e := range entries {
		out = append(out, fmt.Sprint(e.stream, e.tag, len(e.text)))
	}
	return strings.Join(out, " ")
}

func equal(t testing.TB, what string, got, want []string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") || len(got) != len(want) {
		t.Errorf("%s: got %.2000q, want %.2000q", what, got, want)
	}
}

func TestOutputOfProgramBecomesLog(t *testing.T) {
	testnode.CheckClean(t, testnode.Options{})
	b := openBox(t, newHub(t, Options{}), newConfig(t))
	before := time.Now()
	b.run(`echo one; echo two >&2; printf '\n'; printf 'dos\r\n'; printf 'bin\000\001\377\n'; printf 'no end'; printf 'nor here' >&2`)
	b.drain()
	entries := readLog(t, b.cfg.Path)
	equal(t, "stdout", lines(entries, "stdout"), []string{"one", "", "dos\r", "bin\x00\x01\xff", `no end\`})
	equal(t, "stderr", lines(entries, "stderr"), []string{"two", `nor here\`})
	for _, e := range entries {
		if e.at.Before(before.Truncate(0)) || e.at.After(time.Now()) {
			t.Errorf("%+v is not from now", e)
		}
	}
	info, err := os.Stat(b.cfg.Path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("log file: %v, %v; want mode 0640", info, err)
	}
}

func TestLogExistsBeforeOutput(t *testing.T) {
	b := openBox(t, newHub(t, Options{}), newConfig(t))
	if _, err := os.Stat(b.cfg.Path); err != nil {
		t.Error(err)
	}
}

func TestLongLinesAreCut(t *testing.T) {
	for _, tc := range []struct {
		name       string
		limit, len int
		end        string
		want       string
	}{
		{"shorter", 16384, 16383, "\n", "stdoutF16383"},
		{"exact", 16384, 16384, "\n", "stdoutF16384"},
		{"longer", 16384, 16385, "\n", "stdoutP16384 stdoutF1"},
		{"twice", 16384, 32768, "\n", "stdoutP16384 stdoutF16384"},
		{"no end", 16384, 16385, "", "stdoutP16384 stdoutP1"},
		{"exact, no end", 16384, 16384, "", "stdoutP16384"},
		{"larger than a FIFO", 16384, 100000, "\n", "stdoutP16384 stdoutP16384 stdoutP16384 stdoutP16384 stdoutP16384 stdoutP16384 stdoutF1696"},
		{"limit larger than a FIFO", 100000, 200001, "\n", "stdoutP100000 stdoutP100000 stdoutF1"},
		{"no limit", -1, 1 << 20, "\n", "stdoutF1048576"},
		{"no limit is bounded", 0, 1<<20 + 1, "\n", "stdoutP1048576 stdoutF1"},
		{"one byte", 1, 3, "\n", "stdoutP1 stdoutP1 stdoutF1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := openBox(t, newHub(t, Options{MaxLine: tc.limit}), newConfig(t))
			b.print(b.stdout, strings.Repeat("x", tc.len)+tc.end)
			b.drain()
			if got := tags(readLog(t, b.cfg.Path)); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// A large write into a FIFO that is not empty wakes no reader: the start of a line must not
// stay there.
func TestLargeWriteAfterStartOfLine(t *testing.T) {
	h := newHub(t, Options{})
	b := openBox(t, h, newConfig(t))
	for range 20 {
		b.print(b.stdout, "start ")
		time.Sleep(2 * time.Millisecond)
		b.print(b.stdout, strings.Repeat("x", 200_000)+"\n")
	}
	b.drain()
	got := lines(readLog(t, b.cfg.Path), "stdout")
	if len(got) != 20 || got[19] != "start "+strings.Repeat("x", 200_000) {
		t.Errorf("got %d lines", len(got))
	}
}

func TestLineInManyWrites(t *testing.T) {
	b := openBox(t, newHub(t, Options{}), newConfig(t))
	text := strings.Repeat("slowly ", 200)
	for i := range len(text) {
		b.print(b.stdout, text[i:i+1])
		if i%50 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	if got := readLog(t, b.cfg.Path); len(got) != 0 {
		t.Errorf("before the newline the log has %s", tags(got))
	}
	b.print(b.stdout, "\nnext")
	b.drain()
	equal(t, "stdout", lines(readLog(t, b.cfg.Path), "stdout"), []string{text, `next\`})
}

func TestNoWriterYetIsNoEnd(t *testing.T) {
	h := newHub(t, Options{})
	cfg := newConfig(t)
	l, err := h.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := l.Drained(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Drained before there was a writer: %v", err)
	}
	b := &box{Log: l, cfg: cfg, t: t}
	b.openWriters()
	b.print(b.stderr, "late\n")
	b.drain()
	equal(t, "stderr", lines(readLog(t, cfg.Path), "stderr"), []string{"late"})
}

func TestStartedWithoutWriterIsEnd(t *testing.T) {
	h := newHub(t, Options{})
	cfg := newConfig(t)
	cfg.Started = true
	l, err := h.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), testnode.Patience)
	defer cancel()
	if err := l.Drained(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestDrainedWaitsForEveryWriter(t *testing.T) {
	b := openBox(t, newHub(t, Options{}), newConfig(t))
	cmd := exec.Command("/bin/sh", "-c", "sleep 0.2; echo background")
	cmd.Stdout = b.stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	b.drain()
	equal(t, "stdout", lines(readLog(t, b.cfg.Path), "stdout"), []string{"background"})
}

func TestTerminalHasOneStream(t *testing.T) {
	cfg := newConfig(t)
	cfg.Stderr = ""
	b := openBox(t, newHub(t, Options{}), cfg)
	b.print(b.stdout, "$ ls\r\n")
	b.drain()
	equal(t, "stdout", lines(readLog(t, cfg.Path), "stdout"), []string{"$ ls\r"})
}

func TestNoLogFile(t *testing.T) {
	cfg := newConfig(t)
	path := cfg.Path
	cfg.Path = ""
	h := newHub(t, Options{})
	b := openBox(t, h, cfg)
	b.print(b.stdout, strings.Repeat("nobody reads it\n", 10_000))
	b.drain()
	if err := b.Reopen(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) || h.Lost() != 0 {
		t.Errorf("there is a log: %v, or a loss: %d", err, h.Lost())
	}
}

func TestOpenRefusesWhatIsNoFIFO(t *testing.T) {
	testnode.CheckClean(t, testnode.Options{})
	h := newHub(t, Options{})
	cfg := newConfig(t)
	cfg.Stdout += "-missing"
	if _, err := h.Open(cfg); !errdefs.IsNotFound(err) {
		t.Errorf("missing FIFO: %v, want not found", err)
	}
	if err := os.WriteFile(cfg.Stdout, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Open(cfg); !errdefs.IsInvalidArgument(err) {
		t.Errorf("regular file: %v, want invalid argument", err)
	}
	if err := MakeFIFO(cfg.Stdout); !errdefs.IsInvalidArgument(err) {
		t.Errorf("MakeFIFO on a file: %v, want invalid argument", err)
	}
	if err := MakeFIFO(cfg.Stderr); err != nil {
		t.Errorf("MakeFIFO on a FIFO: %v", err)
	}
}

func TestCloseWritesWhatIsThere(t *testing.T) {
	b := openBox(t, newHub(t, Options{}), newConfig(t))
	text := strings.Repeat("a line\n", 5000)
	b.print(b.stdout, text+"and a start")
	b.Close()
	got := lines(readLog(t, b.cfg.Path), "stdout")
	if len(got) != 5001 || got[5000] != `and a start\` {
		t.Errorf("got %d lines, the last is %q", len(got), got[len(got)-1])
	}
	b.Close()
	if err := b.Drained(t.Context()); err != nil {
		t.Error(err)
	}
	if err := b.Reopen(); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("Reopen after Close: %v", err)
	}
}

func TestCloseDuringOutput(t *testing.T) {
	h := newHub(t, Options{})
	for range 50 {
		b := openBox(t, h, newConfig(t))
		cmd := exec.Command("yes", "busy")
		cmd.Stdout = b.stdout
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		b.Close()
		cmd.Process.Kill()
		cmd.Wait()
		b.hangUp()
		for i, line := range lines(readLog(t, b.cfg.Path), "stdout") {
			if line != "busy" && !(strings.HasSuffix(line, `\`)) {
				t.Fatalf("line %d is %q", i, line)
			}
		}
	}
}

func TestHubCloseLeavesUnreadBytes(t *testing.T) {
	for _, journal := range []bool{false, true} {
		t.Run(fmt.Sprint("journal ", journal), func(t *testing.T) {
			opts := Options{}
			if journal {
				opts.Journal = filepath.Join(t.TempDir(), "journal")
			}
			first := newHub(t, opts)
			b := openBox(t, first, newConfig(t))
			b.print(b.stdout, "read\nsta")
			testnode.Eventually(t, "the first line", func() bool { return len(readLog(t, b.cfg.Path)) == 1 })
			testnode.Eventually(t, "the FIFO is empty", func() bool { return waiting(t, b.stdout) == 0 })
			first.Close()
			b.print(b.stdout, "rt\nwaiting\n")
			if _, err := first.Open(b.cfg); !errdefs.IsUnavailable(err) {
				t.Errorf("Open after Close: %v", err)
			}

			second := newHub(t, opts)
			b.cfg.Started = true
			l, err := second.Open(b.cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			b.Log = l
			b.drain()
			entries := readLog(t, b.cfg.Path)
			equal(t, "stdout", lines(entries, "stdout"), []string{"read", "start", "waiting"})
			want := "stdoutF4 stdoutP3 stdoutF2 stdoutF7"
			if journal {
				want = "stdoutF4 stdoutF5 stdoutF7"
			}
			if got := tags(entries); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestStreamsShareFile(t *testing.T) {
	b := openBox(t, newHub(t, Options{}), newConfig(t))
	const count = 20_000
	var both sync.WaitGroup
	for _, f := range []*os.File{b.stdout, b.stderr} {
		both.Go(func() {
			for i := range count {
				fmt.Fprintf(f, "%06d %s\n", i, strings.Repeat("x", i%200))
			}
		})
	}
	both.Wait()
	b.drain()
	entries := readLog(t, b.cfg.Path)
	for _, stream := range []string{"stdout", "stderr"} {
		got := lines(entries, stream)
		if len(got) != count {
			t.Fatalf("%s has %d lines, want %d", stream, len(got), count)
		}
		for i, line := range got {
			if want := fmt.Sprintf("%06d %s", i, strings.Repeat("x", i%200)); line != want {
				t.Fatalf("%s line %d is %q, want %q", stream, i, line, want)
			}
		}
	}
}
func waiting(t testing.TB, fifo *os.File) int {
	t.Helper()
	n, err := kernel.Waiting(int(fifo.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
