// SPDX-License-Identifier: Apache-2.0

package exits

import (
	"maps"
	"testing"
)

func TestCountsExitsBySource(t *testing.T) {
	noLeaks(t)
	dir := bpffs(t)
	first := newWatcher(t, dir)
	want := map[Source]uint64{SourceWaitid: 0, SourceBPF: 0, SourcePidfd: 0, SourceProcfs: 0, SourceUnknown: 0}
	if got := first.Counts(); !maps.Equal(got, want) {
		t.Fatalf("at first %v, want %v", got, want)
	}
	for range 2 {
		child := shell(t, "exit 1")
		reported := newOutcome()
		if err := first.Watch(child.Child, reported.call); err != nil {
			t.Fatal(err)
		}
		child.release.Close()
		reported.one(t)
	}
	want[SourceWaitid] = 2
	if got := first.Counts(); !maps.Equal(got, want) {
		t.Errorf("after two children %v, want %v", got, want)
	}

	id, release := orphan(t, "exit 3")
	second := newWatcher(t, dir)
	for range 2 { // the second time nobody knows
		reported := newOutcome()
		if err := second.Adopt(id, nil, reported.call); err != nil {
			t.Fatal(err)
		}
		release.Close()
		reported.one(t)
		awaitGone(t, id)
		second.Forget(id)
	}
	want = map[Source]uint64{SourceWaitid: 0, SourceBPF: 1, SourcePidfd: 0, SourceProcfs: 0, SourceUnknown: 1}
	if got := second.Counts(); !maps.Equal(got, want) {
		t.Errorf("of an adopted process, once recorded and once forgotten: %v, want %v", got, want)
	}
}
