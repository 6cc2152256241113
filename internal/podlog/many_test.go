// SPDX-License-Identifier: Apache-2.0

package podlog

import (
	"fmt"
	"os/exec"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/testnode"
)

func runtimeStack(buf []byte) int { return runtime.Stack(buf, true) }

// openMany opens count containers that log into directories of their own.
func openMany(t testing.TB, h *Hub, count int) []*box {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < uint64(5*count+100) {
		testnode.Unavailable(t, fmt.Sprintf("%d descriptors are not enough: %v", limit.Cur, err))
	}
	boxes := make([]*box, count)
	for i := range boxes {
		boxes[i] = openBox(t, h, newConfig(t))
	}
	return boxes
}

func TestThousandContainers(t *testing.T) {
	testnode.CheckClean(t, testnode.Options{})
	before := runtime.NumGoroutine()
	h := newHub(t, Options{Workers: 3})
	const count = 1000
	heapBefore := heap()
	boxes := openMany(t, h, count)
	if used := (heap() - heapBefore) / count; used > 3<<10 { // most of it is the test's
		t.Errorf("an idle container takes %d bytes", used)
	}
	if n := runtime.NumGoroutine() - before; n > 3 || goroutines(t) != 3 {
		t.Errorf("%d more goroutines, %d of them workers; want 3", n, goroutines(t))
	}
	var printing sync.WaitGroup
	for _, b := range boxes {
		printing.Go(func() {
			for i := range 100 {
				fmt.Fprintf(b.stdout, "%s %d\n", b.cfg.ID, i)
				fmt.Fprintf(b.stderr, "%s %d\n", b.cfg.ID, -i)
			}
		})
	}
	printing.Wait()
	for _, b := range boxes {
		b.drain()
		entries := readLog(t, b.cfg.Path)
		for stream, sign := range map[string]int{"stdout": 1, "stderr": -1} {
			got := lines(entries, stream)
			if len(got) != 100 || got[99] != fmt.Sprintf("%s %d", b.cfg.ID, sign*99) {
				t.Fatalf("%s of %s: %d lines", stream, b.cfg.ID, len(got))
			}
		}
		b.Close()
	}
	if len(h.containers) != 0 {
		t.Errorf("the Hub knows %d containers that are closed", len(h.containers))
	}
}

// As many containers as there are workers print without end; others are served none the less.
func TestFairness(t *testing.T) {
	h := newHub(t, Options{Workers: 2, MaxLine: DefaultMaxLine})
	for range 4 {
		cfg := newConfig(t)
		cfg.Path = ""
		b := openBox(t, h, cfg)
		b.fcntl(unix.F_SETPIPE_SZ, 1<<20) // so that there is always more
		for range 2 {
			noise := exec.Command("yes", "") // dearer for the worker than for the program
			noise.Stdout = b.stdout
			if err := noise.Start(); err != nil {
				t.Fatal(err)
			}
			defer noise.Wait()
			defer noise.Process.Kill()
		}
	}
	quiet := openBox(t, h, newConfig(t))
	for i := range 20 {
		// The noise has no end: who came after it would wait for ever.
		quiet.print(quiet.stdout, "hello\n")
		testnode.Eventually(t, "a line of a quiet container", func() bool { return len(readLog(t, quiet.cfg.Path)) == i+1 })
	}
}
