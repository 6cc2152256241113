// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/testnode"
)

// barrier is a FIFO in the image, at which scripts wait for each other with "read x <PATH".
type barrier struct {
	n          *node
	path       string // outside
	containers []Container
}

// barrierPath is the barrier inside.
const barrierPath = "/tmp/barrier"

func (n *node) newBarrier(containers []Container) *barrier {
	n.t.Helper()
	b := &barrier{n, filepath.Join(n.image(), barrierPath), containers}
	if err := unix.Mkfifo(b.path, 0o666); err != nil {
		n.t.Fatal(err)
	}
	return b
}

// lift lets all go on once so many wait, or stop says that there will not be so many.
func (b *barrier) lift(waiting int, stop <-chan struct{}) {
	for deadline := time.Now().Add(testnode.Patience); b.processes() < waiting && time.Now().Before(deadline); {
		select {
		case <-stop:
		case <-time.After(10 * time.Millisecond):
			continue
		}
		break
	}
	if got := b.processes(); got != waiting {
		b.n.t.Errorf("%d wait for each other, want %d", got, waiting)
	}
	for { // again for those that came a moment later
		if f, err := os.OpenFile(b.path, os.O_WRONLY|unix.O_NONBLOCK, 0); err == nil {
			f.Close()
		}
		select {
		case <-stop:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// processes counts those that wait in open(2) of the barrier.
func (b *barrier) processes() (waiting int) {
	for _, c := range b.containers {
		pids, err := c.Task.Pids()
		if err != nil {
			b.n.t.Error(err)
		}
		for _, p := range pids {
			line, err := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", p.Pid))
			if err == nil && strings.Contains(string(line), "fifo") || err == nil && strings.Contains(string(line), "wait_for_partner") {
				waiting++
			}
		}
	}
	return waiting
}

// TestConcurrentExecs: many run at the same time, each gets what is its own, and nothing of them is left.
func TestConcurrentExecs(t *testing.T) {
	for _, c := range []struct{ containers, execs int }{{1, 100}, {20, 1000}} {
		t.Run(fmt.Sprintf("%d in %d", c.execs, c.containers), func(t *testing.T) {
			n := newNode(t, Config{})
			var containers []Container
			for i := range c.containers {
				containers = append(containers, n.idle(fmt.Sprintf("box%d", i)))
			}
			before := n.descriptors()
			n.runConcurrently(containers, c.execs)
			for _, c := range containers {
				n.onlyIdle(c)
			}
			n.sameDescriptors(before)
			n.noExecRecords()
		})
	}
}

// runConcurrently executes a script in each of the containers in turn, none of which ends before all run.
func (n *node) runConcurrently(containers []Container, execs int) {
	n.t.Helper()
	b := n.newBarrier(containers)
	done := make(chan struct{})
	var all, lifting sync.WaitGroup
	lifting.Go(func() { b.lift(execs, done) })
	for i := range execs {
		all.Go(func() {
			id, code := containers[i%len(containers)].Task.ID(), i%256
			script := fmt.Sprintf("echo out %d; echo err %d >&2; read x <%s; echo over %d; exit %d", i, i, barrierPath, i, code)
			r, err := n.ExecSync(n.t.Context(), id, []string{"/bin/sh", "-c", script}, testnode.Patience)
			if err != nil {
				n.t.Errorf("%d: %v", i, err)
				return
			}
			stdout, stderr := fmt.Sprintf("out %d\nover %d\n", i, i), fmt.Sprintf("err %d\n", i)
			if string(r.Stdout) != stdout || string(r.Stderr) != stderr || r.ExitCode != int32(code) {
				n.t.Errorf("%d: %q, %q and %d", i, r.Stdout, r.Stderr, r.ExitCode)
			}
		})
	}
	all.Wait()
	close(done)
	lifting.Wait()
}

// noExecRecords fails when there is a record of an executed process.
func (n *node) noExecRecords() {
	n.t.Helper()
	left, err := filepath.Glob(filepath.Join(n.dir, "state", n.namespace, "*", "*exec-*"))
	if err != nil || len(left) > 0 {
		n.t.Errorf("records are left: %v, %v", left, err)
	}
}
