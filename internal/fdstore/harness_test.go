// SPDX-License-Identifier: Apache-2.0

package fdstore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/fdstore/holder"
	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/testnode"
)

// initPath is the sardine-init under test: SARDINE_INIT, or one built by TestMain.
var initPath = os.Getenv("SARDINE_INIT")

// roleVariable makes the test program one of the roles, a daemon that is to be killed for example.
const roleVariable = "FDSTORE_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := roles[os.Getenv(roleVariable)]; role != nil {
		if err := role(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if initPath != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "fdstore")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	initPath = filepath.Join(dir, "sardine-init")
	build := exec.Command("go", "build", "-ldflags", "-s -w -E sardine_entry", "-o", initPath,
		"github.com/sardine-run/sardine/cmd/sardine-init")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build sardine-init: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// command runs the test program in a role.
func command(role string, env ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(append(os.Environ(), roleVariable+"="+role, "SARDINE_INIT="+initPath), env...)
	cmd.Stderr = os.Stderr
	return cmd
}

// place is a directory for a holder. The test fails if one is left at its end.
type place struct {
	t   testing.TB
	dir string
	log logBuffer
}

func newPlace(t testing.TB) *place {
	t.Helper()
	testnode.NeedRoot(t) // to be who may speak to a holder does not need it, but cgroups and the rest do
	p := &place{t: t, dir: filepath.Join(t.TempDir(), "state", ".fdstore")}
	testnode.CheckClean(t, testnode.Options{Dirs: []string{p.dir}})
	// A holder ends when nobody can find it.
	t.Cleanup(func() { os.Remove(p.socket()) })
	return p
}

func (p *place) socket() string { return filepath.Join(p.dir, holder.SocketName) }

func (p *place) options(kind string) Options {
	return Options{Kind: kind, Dir: p.dir, Init: initPath, Log: slog.New(slog.NewTextHandler(&p.log, nil))}
}

func (p *place) open(kind string) *Store {
	p.t.Helper()
	s, err := Open(p.t.Context(), p.options(kind))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { die(s) })
	return s
}

// die is what the death of the daemon does.
func die(s *Store) {
	if s.keeper == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found.dropAll()
	s.keeper.close()
}

// holders returns the pids of the holders of this directory.
func (p *place) holders() []int {
	p.t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		p.t.Fatal(err)
	}
	var pids []int
	for _, dir := range dirs {
		args, _ := os.ReadFile(dir + "/cmdline")
		if words := strings.Split(string(args), "\x00"); len(words) > 3 && slices.Equal(words[1:4], []string{"fdstore", "hold", p.dir}) {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			pids = append(pids, pid)
		}
	}
	return pids
}

func (p *place) holder() int {
	p.t.Helper()
	pids := p.holders()
	if len(pids) != 1 {
		p.t.Fatalf("%d holders, want one", len(pids))
	}
	return pids[0]
}

// stop keeps the holder from running, to the test's end at the latest. Whoever sends the signal does not wait for the threads, and one that
// runs on for a moment can deal with hundreds of messages.
func (p *place) stop() (pid int) {
	p.t.Helper()
	pid = p.holder()
	p.t.Cleanup(func() { _ = unix.Kill(pid, unix.SIGCONT) })
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		p.t.Fatal(err)
	}
	testnode.Eventually(p.t, "the holder stands still", func() bool { return stopped(p.t, pid) })
	return pid
}

func stopped(t testing.TB, pid int) bool {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(threads) > 0 && !slices.ContainsFunc(threads, func(path string) bool {
		stat, err := os.ReadFile(path)
		return err != nil || !strings.Contains(string(stat), ") T ")
	})
}

// wantEnd makes the holder end, and waits until it has closed all that it had: its socket takes no message.
func (p *place) wantEnd(end func() error) {
	p.t.Helper()
	probe, err := kernel.DialDatagram(p.socket())
	if err != nil {
		p.t.Fatal(err)
	}
	defer kernel.Close(probe)
	if err := end(); err != nil {
		p.t.Fatal(err)
	}
	testnode.Eventually(p.t, "the holder ends", func() bool {
		return errors.Is(kernel.SendRights(probe, []byte("PROBE=1"), nil, unix.MSG_DONTWAIT), unix.ECONNREFUSED)
	})
}

// logBuffer keeps what was logged.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// pipe is one of which an end is put into a store.
type pipe struct{ read, write *os.File }

func newPipe(t testing.TB) pipe {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return pipe{r, w}
}

// put does not mind a keeper that gets no processor for longer than Put waits.
func put(t testing.TB, s *Store, name string, files ...*os.File) {
	t.Helper()
	testnode.Eventually(t, name+" is put", func() bool {
		err := s.Put(name, files...)
		if err != nil && !errdefs.IsUnavailable(err) {
			t.Fatal(err)
		}
		return err == nil
	})
}

// take takes one descriptor.
func take(t testing.TB, s *Store, name string) *os.File {
	t.Helper()
	files := s.Take(name)
	if len(files) != 1 {
		t.Fatalf("%d descriptors under %s, want one", len(files), name)
	}
	t.Cleanup(func() { files[0].Close() })
	return files[0]
}

func wantLen(t testing.TB, s *Store, want int) {
	t.Helper()
	if got := s.Len(); got != want {
		t.Errorf("%d descriptors are kept, want %d", got, want)
	}
}

// wantText reads what was written into a pipe.
func wantText(t testing.TB, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Errorf("read %q, %v; want %q", got, err, want)
	}
}

// wantFD fails unless f is another descriptor of the same pipe as g.
func wantSame(t testing.TB, f, g *os.File) {
	t.Helper()
	a, errA := kernel.Stat(int(f.Fd()))
	b, errB := kernel.Stat(int(g.Fd()))
	if errA != nil || errB != nil || a.Ino != b.Ino || a.Dev != b.Dev {
		t.Errorf("inodes %d and %d, %v, %v", a.Ino, b.Ino, errA, errB)
	}
	if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags %#x, %v: not closed by exec", flags, err)
	}
}
