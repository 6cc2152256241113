// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/stdio"
)

// BenchmarkLife is create, start, wait and delete of /bin/true.
func BenchmarkLife(b *testing.B) {
	n := newNode(b)
	spec := n.spec("")
	spec.Process.Args = []string{"/bin/true"}
	b.ReportAllocs()
	for b.Loop() {
		c := n.createSpec("one", spec)
		n.start(c)
		n.wait(c)
		n.delete(c)
	}
}

// BenchmarkExec is add, start, wait and delete of /bin/true in a running container.
func BenchmarkExec(b *testing.B) {
	n := newNode(b)
	c := n.run("one", "sleep 1000")
	b.ReportAllocs()
	for b.Loop() {
		e, err := c.Exec("e", &specs.Process{Args: []string{"/bin/true"}, Cwd: "/"}, stdio.Config{})
		if err != nil {
			b.Fatal(err)
		}
		if err := e.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		n.wait(e)
		if _, err := e.Delete(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoad takes 1,000 running containers over. SPECIFICATION.md has a daemon with as many pods
// come up in a second, of which this is a part.
func BenchmarkLoad(b *testing.B) {
	const containers = 1000
	n := newNode(b)
	spec := n.spec("")
	spec.Process.Args = []string{"/bin/sleep", "1000"}
	for i := range containers {
		n.start(n.createSpec(fmt.Sprint("c", i), spec))
	}
	b.ReportAllocs()
	var spent time.Duration
	for b.Loop() {
		b.StopTimer()
		old := n.List("")
		n.shut()
		for _, c := range old {
			c.init.release()
		}
		n.open()
		_ = n.Exits.BPF() // it is there
		before := cpuTime(b)
		b.StartTimer()
		if err := n.Load(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		spent += cpuTime(b) - before
		if got := len(n.List("")); got != containers {
			b.Fatalf("%d containers are loaded", got)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(spent.Milliseconds())/float64(b.N), "cpu-ms/op")
}

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
