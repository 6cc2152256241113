// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sardine-run/sardine/internal/testnode"
)

func memoryHost(t testing.TB) *Host {
	h := detect(t)
	if !slices.Contains(h.Controllers(), "memory") {
		t.Skip("this host has no memory controller")
	}
	return h
}

func newWatcher(t testing.TB, h *Host) *OOMWatcher {
	t.Helper()
	w, err := h.NewOOMWatcher()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 {
			if err := w.Close(); err != nil && t.Failed() {
				t.Error(err)
			}
		}
	})
	return w
}

func limitedConfig() Config {
	cfg := testConfig()
	cfg.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: pointer[int64](32 << 20)}}
	return cfg
}

func TestOOMIsReportedToItsContainerOnly(t *testing.T) {
	h := memoryHost(t)
	w := newWatcher(t, h)
	victim, bystander := newCgroup(t, h, limitedConfig()), newCgroup(t, h, limitedConfig())
	events := make(chan string, 100)
	for name, c := range map[string]*Cgroup{"victim": victim, "bystander": bystander} {
		if err := w.Add(c, func() { events <- name }); err != nil {
			t.Fatal(err)
		}
	}
	p := spawn(t, victim, "eat")
	state, err := p.Wait()
	if err != nil || state.ExitCode() != -1 {
		t.Fatalf("the eater ended with %v, %v", state, err)
	}
	select {
	case name := <-events:
		if name != "victim" {
			t.Fatal("reported for the wrong container")
		}
	case <-time.After(testnode.Patience):
		t.Fatal("the OOM kill was not reported")
	}
	if n, err := victim.OOMKills(); err != nil || n != 1 {
		t.Errorf("OOMKills: %d, %v, want 1", n, err)
	}
	w.Remove(victim)
	w.Remove(bystander)
	if len(events) > 0 {
		t.Errorf("%d more reports", len(events))
	}
}

func TestOOMIsReportedByRemove(t *testing.T) {
	h := memoryHost(t)
	c := newCgroup(t, h, limitedConfig())
	p := spawn(t, c, "eat")
	// The watcher learns of c only afterwards, with a count from before the kill.
	reports := 0
	watch := &oomWatch{cgroup: c, key: -1, fd: -1, notify: func() { reports++ }}
	_, _ = p.Wait()
	for range 2 {
		watch.check()
	}
	if reports != 1 {
		t.Errorf("%d reports of one kill", reports)
	}
}

// TestRemoveWaitsForReport: the container's end is reported when Remove returns, and that comes after the kill.
func TestRemoveWaitsForReport(t *testing.T) {
	h := memoryHost(t)
	w := newWatcher(t, h)
	c := newCgroup(t, h, limitedConfig())
	begun, released := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	defer release() // the watcher is closed after that
	var told atomic.Bool
	err := w.Add(c, func() {
		close(begun)
		<-released
		told.Store(true)
	})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = spawn(t, c, "eat").Wait()
	select {
	case <-begun:
	case <-time.After(testnode.Patience):
		t.Fatal("the OOM kill was not reported")
	}
	late := make(chan bool, 1)
	go func() {
		w.Remove(c)
		late <- !told.Load()
	}()
	testnode.Eventually(t, "Remove waits, or returns", func() bool { return len(late) > 0 || waitsForMutex("(*OOMWatcher).Remove") })
	release()
	if <-late {
		t.Error("Remove returned before a report that was under way")
	}
}

// waitsForMutex reports whether a goroutine does that in a function.
func waitsForMutex(function string) bool {
	return slices.ContainsFunc(strings.Split(stacks(), "\n\n"), func(stack string) bool {
		state, _, _ := strings.Cut(stack, "\n")
		return strings.Contains(state, "sync.Mutex.Lock") && strings.Contains(stack, function)
	})
}

// TestNothingIsReportedAfterRemove, also when the watcher's goroutine has found the watch before.
func TestNothingIsReportedAfterRemove(t *testing.T) {
	h := memoryHost(t)
	w := newWatcher(t, h)
	c := newCgroup(t, h, limitedConfig())
	if err := w.Add(c, func() { t.Error("reported after Remove") }); err != nil {
		t.Fatal(err)
	}
	watch := w.watches[c]
	w.Remove(c)
	_, _ = spawn(t, c, "eat").Wait()
	if n, err := c.OOMKills(); err != nil || n != 1 {
		t.Fatalf("OOMKills: %d, %v, want 1", n, err)
	}
	if !watch.check() {
		t.Error("there is something to wait for")
	}
}

func TestOOMWatchesAreIndependentOfOrder(t *testing.T) {
	h := memoryHost(t)
	w := newWatcher(t, h)
	for range 3 {
		c := newCgroup(t, h, limitedConfig())
		if err := w.Add(c, func() { t.Error("reported without a kill") }); err != nil {
			t.Fatal(err)
		}
		if err := w.Add(c, nil); err == nil {
			t.Error("a second Add was accepted")
		}
		destroy(t, c) // v1 sends an event for the removal
	}
	if n := len(w.watches); n != 3 {
		t.Fatalf("%d watches", n)
	}
	time.Sleep(50 * time.Millisecond)
	for c := range w.watches {
		w.Remove(c)
	}
	w.mu.Lock() // late events are looked at
	defer w.mu.Unlock()
	if len(w.watches)+len(w.byKey)+len(w.pending) != 0 {
		t.Errorf("left: %d watches, %d keys, %d rechecks", len(w.watches), len(w.byKey), len(w.pending))
	}
}

func TestParseOOM(t *testing.T) {
	for data, want := range map[string]oomState{
		"oom_kill_disable 0\nunder_oom 0\noom_kill 0\n":               {},
		"oom_kill_disable 0\nunder_oom 1\noom_kill 7\n":               {kills: 7},
		"oom_kill_disable 1\nunder_oom 1\noom_kill 0\n":               {stuck: true},
		"low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\n": {kills: 5},
		"": {}, "oom_kill": {}, "oom_kill x\n": {},
	} {
		if got := parseOOM(data); got != want {
			t.Errorf("%q: %+v, want %+v", data, got, want)
		}
	}
}

// BenchmarkOOMWatch is what each container pays: Add and Remove.
func BenchmarkOOMWatch(b *testing.B) {
	h := memoryHost(b)
	w := newWatcher(b, h)
	c := newCgroup(b, h, limitedConfig())
	b.ReportAllocs()
	for range b.N {
		if err := w.Add(c, func() {}); err != nil {
			b.Fatal(err)
		}
		w.Remove(c)
	}
}
