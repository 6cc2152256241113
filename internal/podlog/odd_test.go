// SPDX-License-Identifier: Apache-2.0

package podlog

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/testnode"
)

// What programs may do to their end of a FIFO.

func (b *box) fcntl(cmd, arg int) {
	b.t.Helper()
	if _, err := unix.FcntlInt(b.stdout.Fd(), cmd, arg); err != nil {
		b.t.Fatal(err)
	}
}

func TestPackets(t *testing.T) {
	b := openBox(t, newHub(t, Options{Journal: filepath.Join(t.TempDir(), "journal")}), newConfig(t))
	b.fcntl(unix.F_SETFL, unix.O_DIRECT)
	var want []string
	for i := range 300 {
		line := fmt.Sprintf("line %d %s", i, strings.Repeat("p", i%50))
		want = append(want, line)
		for k := range line {
			b.print(b.stdout, line[k:k+1])
		}
		b.print(b.stdout, "\nnext, ")
		b.print(b.stdout, "and\nthe ")
		b.print(b.stdout, strings.Repeat("long ", 1000)+"\n")
		want = append(want, "next, and", "the "+strings.Repeat("long ", 1000))
	}
	b.drain()
	equal(t, "stdout", lines(readLog(t, b.cfg.Path), "stdout"), want)
}

// What waits when the last writer has gone may be more than is peeked at once.
func TestManyPacketsAtTheEnd(t *testing.T) {
	cfg := newConfig(t)
	cfg.Stderr = ""
	holder, err := os.OpenFile(cfg.Stdout, os.O_RDONLY|unix.O_NONBLOCK, 0) // keeps what is in the pipe
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	b := &box{cfg: cfg, t: t}
	b.openWriters()
	b.fcntl(unix.F_SETPIPE_SZ, 1<<20)
	b.fcntl(unix.F_SETFL, unix.O_DIRECT)
	var want []string
	for i := range 200 {
		want = append(want, fmt.Sprint("packet ", i))
		b.print(b.stdout, want[i]+"\n")
	}
	b.hangUp()
	b.cfg.Started = true
	if b.Log, err = newHub(t, Options{}).Open(b.cfg); err != nil {
		t.Fatal(err)
	}
	b.drain()
	equal(t, "stdout", lines(readLog(t, cfg.Path), "stdout"), want)
}

func TestSizeOfFIFOChanges(t *testing.T) {
	for _, size := range []int{4096, 1 << 20} {
		b := openBox(t, newHub(t, Options{}), newConfig(t))
		var want []string
		for i := range 50 {
			if i%10 == 0 {
				b.fcntl(unix.F_SETPIPE_SZ, size)
			}
			line := strings.Repeat(fmt.Sprint(i), 7000)
			b.print(b.stdout, line+"\n")
			want = append(want, line)
		}
		b.drain()
		equal(t, "stdout", lines(readLog(t, b.cfg.Path), "stdout"), want)
	}
}

// A program that reads its own output gets what it asked for; the log goes on.
func TestProgramReadsItsOutput(t *testing.T) {
	h := newHub(t, Options{Journal: filepath.Join(t.TempDir(), "journal")})
	b := openBox(t, h, newConfig(t))
	thief, err := os.OpenFile(b.cfg.Stdout, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer thief.Close()
	buf := make([]byte, 5000)
	for i := range 20_000 {
		b.print(b.stdout, "somebody takes a part of this line\n")
		if i%3 == 0 {
			_, _ = unix.Read(int(thief.Fd()), buf[:i%5000+1])
		}
	}
	testnode.Eventually(t, "a line that nobody takes", func() bool {
		b.print(b.stdout, "\nlast\n")
		return slices.Contains(lines(readLog(t, b.cfg.Path), "stdout"), "last")
	})
	b.drain()
}

func TestReadOnlyDisk(t *testing.T) {
	testnode.NeedRoot(t)
	context, err := kernel.FSOpen("tmpfs")
	if err != nil {
		t.Fatal(err)
	}
	defer context.Close()
	mount, err := context.Mount(unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(mount)
	h := newHub(t, Options{})
	cfg := newConfig(t)
	cfg.Path = fmt.Sprintf("/proc/self/fd/%d/0.log", mount)
	b := openBox(t, h, cfg)
	b.print(b.stdout, strings.Repeat("lost\n", 40_000))
	b.drain()
	if h.Lost() != 200_000 {
		t.Errorf("lost %d bytes, want 200000", h.Lost())
	}
}

func TestDescriptorsAreClosed(t *testing.T) {
	count := func() int {
		names, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	use := func() {
		h, err := New(Options{Journal: filepath.Join(t.TempDir(), "journal")})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		for i := range 20 {
			b := openBox(t, h, newConfig(t))
			b.print(b.stdout, "text\nand")
			if i%2 == 0 {
				b.Close()
			}
			if i%5 == 0 {
				b.Reopen()
			}
			b.hangUp()
		}
		cfg := newConfig(t)
		cfg.Stderr += "-missing"
		if _, err := h.Open(cfg); err == nil {
			t.Error("a missing FIFO was opened")
		}
	}
	use() // what is opened once and kept
	before := count()
	use()
	testnode.Eventually(t, "all descriptors are closed", func() bool { return count() <= before })
}

// A container that is idle, or hung up, or held up by who is attached, costs no time.
func TestIdleCostsNothing(t *testing.T) {
	h := newHub(t, Options{Patience: time.Hour})
	idle := openBox(t, h, newConfig(t))
	begun := openBox(t, h, newConfig(t))
	begun.print(begun.stdout, "the start of a line")
	half := openBox(t, h, newConfig(t))
	half.stdout.Close()
	held := openBox(t, h, newConfig(t))
	stuck := &stuckClient{release: make(chan struct{}), reason: make(chan error, 1)}
	_, stop := held.Attach(stuck, nil)
	defer stop()
	defer close(stuck.release)
	sender := held.Log.(*container).attached[0].senders[0]
	testnode.Eventually(t, "the stream is held up", func() bool {
		if waiting(t, held.stdout) < 32<<10 {
			held.print(held.stdout, strings.Repeat(strings.Repeat("x", 1023)+"\n", 16))
		}
		sender.mu.Lock()
		defer sender.mu.Unlock()
		return sender.held != nil
	})
	_ = idle
	least := time.Hour // the Go runtime and its collector use time, too
	for range 5 {
		before := cpuTime(t)
		time.Sleep(500 * time.Millisecond)
		if least = min(least, cpuTime(t)-before); least <= 50*time.Millisecond {
			return
		}
	}
	t.Errorf("at least %v of 500ms were used", least)
}

func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
