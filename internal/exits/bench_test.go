// SPDX-License-Identifier: Apache-2.0

package exits

import (
	"os"
	"runtime"
	"syscall"
	"testing"
)

// BenchmarkWatch is one process from start to reported exit; BenchmarkStart is the part of
// it that is not this package's.
func BenchmarkWatch(b *testing.B) {
	for name, dir := range map[string]string{"bpf": bpffs(b), "plain": ""} {
		b.Run(name, func(b *testing.B) {
			w := newWatcher(b, dir)
			b.ReportAllocs()
			for b.Loop() {
				child := startTrue(b)
				reported := newOutcome()
				if err := w.Watch(child, reported.call); err != nil {
					b.Fatal(err)
				}
				<-reported
				w.Forget(child.Identity)
			}
		})
	}
}

func BenchmarkStart(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		child := startTrue(b)
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(child.Pid, &status, 0, nil); err != nil {
			b.Fatal(err)
		}
		child.Pidfd.Close()
	}
}

// BenchmarkTrack is what registering with the eBPF program adds to a start.
func BenchmarkTrack(b *testing.B) {
	w := newWatcher(b, bpffs(b))
	b.ReportAllocs()
	id := Identity{Pid: 1 << 30}
	for b.Loop() {
		id.StartTicks++
		w.track(id)
		w.Forget(id)
	}
}

// startTrue starts a process that ends at once.
func startTrue(b *testing.B) Child {
	b.Helper()
	pidfd := -1
	pid, err := syscall.ForkExec("/bin/true", []string{"true"}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{PidFD: &pidfd}})
	if err != nil {
		b.Fatal(err)
	}
	id, err := ReadIdentity(pid)
	if err != nil {
		b.Fatal(err)
	}
	return Child{Identity: id, Pidfd: os.NewFile(uintptr(pidfd), "pidfd")}
}

// TestMemoryOfAWatch holds the cost of a process that is watched to a budget.
func TestMemoryOfAWatch(t *testing.T) {
	const processes, budget = 500, 2 << 10 // bytes; 0.2 KB measured in November 2026
	w := newWatcher(t, "")
	child := shell(t, "exit 0")
	before := heap()
	for range processes { // many descriptors of one process cost the same here
		pidfd, err := openPidfd(child.Identity)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Watch(Child{child.Identity, pidfd}, func(Status) {}); err != nil {
			t.Fatal(err)
		}
	}
	perWatch := (heap() - before) / processes
	t.Logf("%d bytes a watch", perWatch)
	if perWatch > budget {
		t.Errorf("%d bytes a watch, at most %d allowed", perWatch, budget)
	}
	goroutines := runtime.NumGoroutine()
	if goroutines > 10 {
		t.Errorf("%d goroutines for %d processes", goroutines, processes)
	}
	child.release.Close()
	if err := child.Pidfd.Close(); err != nil {
		t.Error(err)
	}
}

func heap() int64 {
	for range 2 { // what cleanups free goes in the second round
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
