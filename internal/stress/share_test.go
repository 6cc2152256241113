// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"sync/atomic"
	"testing"
	"time"
)

func TestShareCallsForEachOnce(t *testing.T) {
	const n = 1000
	var calls [n]atomic.Int32
	times, elapsed := share(8, n, func(i int, times *recorder) bool {
		calls[i].Add(1)
		times.add(Exec, time.Millisecond)
		return true
	})
	for i := range calls {
		if got := calls[i].Load(); got != 1 {
			t.Errorf("%d was called for %d times", i, got)
		}
	}
	if len(times[Exec]) != n || elapsed <= 0 {
		t.Errorf("%d times recorded in %s", len(times[Exec]), elapsed)
	}
}

func TestShareEndsWhereAWorkerSaysSo(t *testing.T) {
	var calls atomic.Int32
	share(3, -1, func(i int, _ *recorder) bool {
		calls.Add(1)
		return i < 10
	})
	// Each of the three goes on until it gets a number that is too great.
	if got := calls.Load(); got != 13 {
		t.Errorf("%d calls, want 13", got)
	}
	share(3, 0, func(int, *recorder) bool {
		t.Error("called for nothing")
		return true
	})
}

// TestShareWorksAtTheSameTime would hang if the workers took turns.
func TestShareWorksAtTheSameTime(t *testing.T) {
	meet := make(chan bool)
	share(2, 2, func(i int, _ *recorder) bool {
		if i == 0 {
			meet <- true
		} else {
			<-meet
		}
		return true
	})
}
