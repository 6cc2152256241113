// SPDX-License-Identifier: Apache-2.0

package server

import (
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sardine-run/sardine/internal/testnode"
)

// TestTrimmer: what was trimmed is trimmed again when there has been work, once.
func TestTrimmer(t *testing.T) {
	var trimmed atomic.Int32
	tr := &trimmer{free: func() { debug.FreeOSMemory(); trimmed.Add(1) }}
	tr.whenIdle(50 * time.Millisecond)
	testnode.Eventually(t, "it trims what came before", func() bool { return trimmed.Load() > 0 })
	atRest := func() (trims int32) {
		testnode.Eventually(t, "it rests", func() bool {
			trims = trimmed.Load()
			runtime.GC() // as trimming does: no work
			time.Sleep(300 * time.Millisecond)
			return trimmed.Load() == trims
		})
		return trims
	}
	before := atRest()
	work(t)
	testnode.Eventually(t, "it trims after work", func() bool { return trimmed.Load() > before })
	atRest()
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	after := atRest() // again: a machine that stood still may have made it look so
	work(t)
	time.Sleep(200 * time.Millisecond)
	if now := trimmed.Load(); now != after {
		t.Errorf("%d trims after it was closed", now-after)
	}
}

var garbage []byte // so that it is made

// work goes on until the collector runs.
func work(t *testing.T) {
	t.Helper()
	began := collections()
	testnode.Eventually(t, "the collector runs", func() bool {
		for range 64 {
			garbage = make([]byte, 1<<20)
		}
		return collections() > began
	})
}
