// SPDX-License-Identifier: Apache-2.0

package podlog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/fdstore"
	"github.com/sardine-run/sardine/internal/fdstore/holder"
	"github.com/sardine-run/sardine/internal/testnode"
)

// daemonVariable holds, for a test binary that is to be a daemon, what it serves.
const daemonVariable = "PODLOG_TEST_DAEMON"

type daemonConfig struct {
	Journal string
	Store   string // directory of a holder of descriptors, "" for none
	Boxes   []Config
}

// daemon opens everything, says so, waits for its standard input to end and then for the end
// of the containers.
func daemon() {
	if err := serve(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func serve() error {
	var cfg daemonConfig
	if err := json.Unmarshal([]byte(os.Getenv(daemonVariable)), &cfg); err != nil {
		return err
	}
	var store *fdstore.Store
	if cfg.Store != "" {
		var err error
		options := fdstore.Options{Kind: fdstore.Holder, Dir: cfg.Store, Init: os.Getenv(initVariable)}
		if store, err = fdstore.Open(context.Background(), options); err != nil {
			return err
		}
		defer store.Close()
	}
	h, err := New(Options{MaxLine: DefaultMaxLine, Journal: cfg.Journal, Store: store})
	if err != nil {
		return err
	}
	var logs []Log
	for _, box := range cfg.Boxes {
		l, err := h.Open(box)
		if err != nil {
			return err
		}
		logs = append(logs, l)
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	ctx, cancel := context.WithTimeout(context.Background(), testnode.Patience)
	defer cancel()
	for _, l := range logs {
		if err := l.Drained(ctx); err != nil {
			return err
		}
		l.Close()
	}
	if n := store.Len(); n > 0 {
		return fmt.Errorf("%d descriptors are kept of containers whose logs are complete", n)
	}
	return h.Close()
}

type daemonProcess struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
}

func startDaemon(t *testing.T, cfg daemonConfig) *daemonProcess {
	t.Helper()
	text, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), daemonVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	d := &daemonProcess{cmd: cmd}
	if d.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.out = bufio.NewReader(out)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.kill)
	if line, err := d.out.ReadString('\n'); line != "ready\n" {
		rest, _ := io.ReadAll(d.out)
		t.Fatalf("the daemon says %q%s, %v", line, rest, err)
	}
	return d
}

func (d *daemonProcess) kill() {
	if d.cmd.ProcessState == nil {
		d.cmd.Process.Kill()
		d.cmd.Wait()
	}
}

// end lets the daemon come to its end.
func (d *daemonProcess) end(t *testing.T) {
	t.Helper()
	d.stdin.Close()
	said, _ := io.ReadAll(d.out)
	if err := d.cmd.Wait(); err != nil {
		t.Fatalf("the daemon ended with %v: %s", err, said)
	}
}

// printer prints numbered lines in pieces until it is told to stop. Lines have all lengths;
// pieces end anywhere.
func printer(f *os.File, seed uint64, stop <-chan struct{}) (count int) {
	random := rand.New(rand.NewPCG(seed, 2))
	var pending []byte
	for {
		select {
		case <-stop:
			f.Write(append(pending, []byte("no end")...))
			return count
		default:
		}
		for len(pending) < 30_000 {
			pending = append(pending, numbered(count)...)
			count++
		}
		n := random.IntN(len(pending))
		if random.IntN(3) > 0 {
			n = random.IntN(300)
		}
		n, _ = f.Write(pending[:n])
		pending = append([]byte(nil), pending[n:]...)
		if random.IntN(10) == 0 {
			time.Sleep(time.Duration(random.IntN(500)) * time.Microsecond)
		}
	}
}

func numbered(i int) string {
	size := i * 7919 % 400
	if i%97 == 0 {
		size = 20_000
	}
	return fmt.Sprintf("%d %s\n", i, strings.Repeat("x", size))
}

// A daemon is killed again and again, at any instant, while containers print and their logs are renamed between two daemons: no
// line is lost, none is repeated, none is torn.
func TestKilledDaemon(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 10
	}
	cfg := daemonConfig{Journal: filepath.Join(t.TempDir(), "journal")}
	stop := make(chan struct{})
	stopPrinting := sync.OnceFunc(func() { close(stop) })
	var printing sync.WaitGroup
	defer printing.Wait()
	defer stopPrinting()
	counts := make([][2]int, 4)
	var files []*os.File
	for i := range counts {
		c := newConfig(t)
		cfg.Boxes = append(cfg.Boxes, c)
		for k, path := range []string{c.Stdout, c.Stderr} {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			files = append(files, f)
			printing.Go(func() { counts[i][k] = printer(f, uint64(2*i+k), stop) })
		}
	}
	rotated := make([]int, len(cfg.Boxes))
	for range rounds {
		d := startDaemon(t, cfg)
		time.Sleep(time.Duration(rand.IntN(20_000)) * time.Microsecond)
		d.kill()
		for i := range cfg.Boxes {
			cfg.Boxes[i].Started = true
			if rand.IntN(3) > 0 {
				continue
			}
			if err := os.Rename(cfg.Boxes[i].Path, fmt.Sprintf("%s.%d", cfg.Boxes[i].Path, rotated[i])); err == nil { // otherwise there is none yet
				rotated[i]++
			}
		}
	}
	last := startDaemon(t, cfg)
	stopPrinting()
	printing.Wait()
	for _, f := range files {
		f.Close()
	}
	last.end(t)
	for i, c := range cfg.Boxes {
		var entries []entry
		for n := range rotated[i] {
			entries = append(entries, readLog(t, fmt.Sprintf("%s.%d", c.Path, n))...)
		}
		entries = append(entries, readLog(t, c.Path)...)
		for k, stream := range []string{"stdout", "stderr"} {
			checkNumbered(t, lines(entries, stream), counts[i][k])
		}
	}
}

// A container goes on and ends after its daemon was killed: the next one, which may be killed too, has all it has printed.
func TestEndsWithoutDaemon(t *testing.T) {
	cfg := daemonConfig{Journal: filepath.Join(t.TempDir(), "journal"), Store: newStore(t)}
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	for range rounds {
		boxes := make([]*endingBox, 3)
		cfg.Boxes = nil
		for i := range boxes {
			boxes[i] = newEndingBox(t)
			cfg.Boxes = append(cfg.Boxes, boxes[i].cfg)
		}
		d := startDaemon(t, cfg)
		for _, b := range boxes {
			b.begin()
			b.printSome()
		}
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
		d.kill()
		for i, b := range boxes {
			b.printSome()
			b.hangUp()
			cfg.Boxes[i].Started = true
		}
		for range rand.IntN(3) { // these are killed while they read what is left
			next := startDaemon(t, cfg)
			time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond)
			next.kill()
		}
		startDaemon(t, cfg).end(t)
		for _, b := range boxes {
			entries := readLog(t, b.cfg.Path)
			for k, stream := range []string{"stdout", "stderr"} {
				checkNumbered(t, lines(entries, stream), b.counts[k])
			}
		}
	}
}

// newStore is a directory for a holder of descriptors, which ends with the test.
func newStore(t *testing.T) string {
	t.Helper()
	testnode.NeedRoot(t)
	dir := filepath.Join(t.TempDir(), "store")
	testnode.CheckClean(t, testnode.Options{Dirs: []string{dir}})
	t.Cleanup(func() { os.Remove(filepath.Join(dir, holder.SocketName)) }) // it ends when nobody can find it
	return dir
}

// endingBox is a container that prints numbered lines into FIFOs which are large enough for all of them.
type endingBox struct {
	box
	counts [2]int
}

func newEndingBox(t *testing.T) *endingBox {
	b := &endingBox{box: box{cfg: newConfig(t), t: t}}
	b.cfg.ID += fmt.Sprint(rand.Int64())
	return b
}

// begin opens the FIFOs, which have a reader.
func (b *endingBox) begin() {
	b.openWriters()
	for _, f := range []*os.File{b.stdout, b.stderr} {
		if _, err := unix.FcntlInt(f.Fd(), unix.F_SETPIPE_SZ, 1<<20); err != nil {
			b.t.Fatal(err)
		}
	}
}

// printSome prints a few hundred KB at most.
func (b *endingBox) printSome() {
	for k, f := range []*os.File{b.stdout, b.stderr} {
		for range rand.IntN(300) {
			b.print(f, numbered(b.counts[k]))
			b.counts[k]++
		}
	}
}

// checkNumbered expects all lines but those that were cut off at the end.
func checkNumbered(t *testing.T, got []string, printed int) {
	t.Helper()
	if len(got) == 0 && printed > 0 {
		t.Fatal("there is nothing")
	}
	for i, line := range got {
		if i == len(got)-1 && strings.HasSuffix(line, `no end\`) {
			return
		}
		if want := strings.TrimSuffix(numbered(i), "\n"); line != want && !strings.HasSuffix(line, "no end") {
			t.Fatalf("line %d of %d, %d printed: got %d bytes %.60q, want %d bytes %.60q", i, len(got), printed, len(line), line, len(want), want)
		}
	}
	if len(got) != printed {
		t.Errorf("%d lines, %d were printed", len(got), printed)
	}
}

func TestJournalOfAnotherKind(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "short": "abc", "foreign": strings.Repeat("journal ", 2000),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			b := openBox(t, newHub(t, Options{Journal: path}), newConfig(t))
			b.print(b.stdout, "fine\n")
			b.drain()
			equal(t, "stdout", lines(readLog(t, b.cfg.Path), "stdout"), []string{"fine"})
		})
	}
}

// The limit may be smaller after a restart than the start of a line that was kept.
func TestJournalWithSmallerLimit(t *testing.T) {
	opts := Options{Journal: filepath.Join(t.TempDir(), "journal"), MaxLine: 5000}
	first := newHub(t, opts)
	b := openBox(t, first, newConfig(t))
	b.print(b.stdout, strings.Repeat("x", 4500))
	testnode.Eventually(t, "it is taken", func() bool { return waiting(t, b.stdout) == 0 })
	first.Close()

	opts.MaxLine = 1000
	second := newHub(t, opts)
	l, err := second.Open(b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b.Log = l
	b.print(b.stdout, "yyy\n")
	b.drain()
	want := "stdoutP1000 stdoutP1000 stdoutP1000 stdoutP1000 stdoutF503"
	if got := tags(readLog(t, b.cfg.Path)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A journal of another release is left alone.
func TestJournalOfAnotherRelease(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	h := newHub(t, Options{Journal: path})
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if err := CheckJournal(path); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text[:8]) != "SDPDLOG1" { // as release 0.1.0 wrote it
		t.Fatalf("it begins with %q, %v", text[:8], err)
	}
	text[7] = '2'
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = New(Options{Journal: path})
	for what, err := range map[string]error{"new": err, "check": CheckJournal(path)} {
		if !errors.Is(err, errdefs.ErrFailedPrecondition) || !strings.Contains(fmt.Sprint(err), path) || !strings.Contains(fmt.Sprint(err), "version 2") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, text) {
		t.Errorf("it was changed, %v", err)
	}
}

func TestJournalIsKeptForThoseWhoAsk(t *testing.T) {
	opts := Options{Journal: filepath.Join(t.TempDir(), "journal")}
	h := newHub(t, opts)
	b := openBox(t, h, newConfig(t))
	b.print(b.stdout, "start")
	testnode.Eventually(t, "it is taken", func() bool { return waiting(t, b.stdout) == 0 })
	for range 2 * maxAge {
		h.Close()
		h = newHub(t, opts)
		l, err := h.Open(b.cfg)
		if err != nil {
			t.Fatal(err)
		}
		b.Log = l
	}
	b.print(b.stdout, " end\n")
	b.drain()
	equal(t, "stdout", lines(readLog(t, b.cfg.Path), "stdout"), []string{"start end"})
}

func TestJournalIsDroppedWhenNobodyAsks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	first := newHub(t, Options{Journal: path})
	b := openBox(t, first, newConfig(t))
	b.print(b.stdout, "start")
	testnode.Eventually(t, "it is taken", func() bool { return waiting(t, b.stdout) == 0 })
	first.Close()
	for i := range maxAge + 1 {
		j, err := openJournal(path, DefaultMaxLine)
		if err != nil {
			t.Fatal(err)
		}
		if n, want := len(j.left), 1; i < maxAge && n != want {
			t.Errorf("after %d restarts %d are left, want %d", i, n, want)
		} else if i == maxAge && n != 0 {
			t.Errorf("after %d restarts %d are still left", i, n)
		}
		j.close()
	}
}
