// SPDX-License-Identifier: Apache-2.0

package exits

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func pinNames(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func TestPinsStayWhileThereIsSomethingToRecord(t *testing.T) {
	noLeaks(t)
	dir := bpffs(t)
	id := Identity{Pid: 1 << 22, StartTicks: 5}
	for _, tracked := range []bool{true, false} {
		w := newWatcher(t, dir)
		if pins := pinNames(t, dir); len(pins) != 2 {
			t.Fatalf("pins %v, want a link and a map", pins)
		}
		if tracked {
			w.track(id)
		} else {
			w.Forget(id)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if left := len(pinNames(t, dir)) > 0; left != tracked {
			t.Errorf("pins left: %v, process to record: %v", left, tracked)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("directory of pins left: %v", err)
	}
}

func TestPrune(t *testing.T) {
	w := newWatcher(t, bpffs(t))
	wanted, unwanted := Identity{Pid: 1 << 22, StartTicks: 5}, Identity{Pid: 1 << 22, StartTicks: 6}
	for _, id := range []Identity{wanted, unwanted} {
		w.track(id)
	}
	w.Prune(func(id Identity) bool { return id == wanted })
	var record recorderRecord
	if err := w.recorder.tracked.Lookup(wanted.key(), &record); err != nil {
		t.Errorf("wanted: %v", err)
	}
	if err := w.recorder.tracked.Lookup(unwanted.key(), &record); err == nil {
		t.Error("unwanted is still there")
	}
}

// A daemon that starts does not wait for the recorder to say what it does not want of it.
func TestPruneBeforeOpen(t *testing.T) {
	dir := bpffs(t)
	wanted, unwanted := Identity{Pid: 1 << 22, StartTicks: 5}, Identity{Pid: 1 << 22, StartTicks: 6}
	before := newWatcher(t, dir)
	before.track(wanted)
	before.track(unwanted)
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	w := &Watcher{opened: make(chan struct{})}
	w.Prune(func(id Identity) bool { return id == wanted })
	w.open(Options{BPFDir: dir})
	defer w.recorder.close()
	var record recorderRecord
	if err := w.recorder.tracked.Lookup(wanted.key(), &record); err != nil {
		t.Errorf("wanted: %v", err)
	}
	if err := w.recorder.tracked.Lookup(unwanted.key(), &record); err == nil {
		t.Error("unwanted is still there")
	}
}

func TestOtherVersionsAreReplaced(t *testing.T) {
	dir := bpffs(t)
	w := newWatcher(t, dir)
	w.track(Identity{Pid: 1 << 22})
	old := filepath.Join(dir, "exits_v0_1_tracked")
	foreign := filepath.Join(dir, "other")
	for _, path := range []string{old, foreign} {
		clone, err := w.recorder.tracked.Clone()
		if err != nil {
			t.Fatal(err)
		}
		if err := clone.Pin(path); err != nil {
			t.Fatal(err)
		}
		clone.Close()
	}
	newWatcher(t, dir)
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("pin of an old layout: %v", err)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("somebody else's pin: %v", err)
	}
	if err := RemovePins(dir); err != nil {
		t.Fatal(err)
	}
	if left := pinNames(t, dir); len(left) != 1 || left[0] != "other" {
		t.Errorf("after RemovePins: %v", left)
	}
}

// TestHalfOfThePinsIsNoRecorder: what a crash between two pins leaves is replaced.
func TestHalfOfThePinsIsNoRecorder(t *testing.T) {
	dir := bpffs(t)
	w := newWatcher(t, dir)
	w.track(Identity{Pid: 1 << 22})
	if err := os.Remove(w.recorder.pins.link); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	newWatcher(t, dir)
	if pins := pinNames(t, dir); len(pins) != 2 {
		t.Errorf("pins %v", pins)
	}
}

func TestTryBPFLeavesNothing(t *testing.T) {
	bpffs(t) // skips where eBPF cannot work
	noLeaks(t)
	if err := TryBPF(); err != nil {
		t.Fatal(err)
	}
}
