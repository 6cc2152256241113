// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestWalks that take ten seconds, asked about every ten seconds as by a kubelet.
func TestWalks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var begun []time.Duration
		w := &walks{age: time.Minute, background: func(f func()) bool { go f(); return true }, measure: func(written) written {
			began := time.Now()
			begun = append(begun, began.Sub(start))
			time.Sleep(10 * time.Second)
			return written{dirs: []DiskUsage{{Time: began}}}
		}}
		if first := w.latest(t.Context()); first.dirs != nil || time.Since(start) != patience {
			t.Errorf("%+v after %v", first, time.Since(start))
		}
		if again := w.latest(t.Context()); again.dirs != nil || time.Since(start) != patience {
			t.Errorf("%+v after %v: nobody else waits", again, time.Since(start))
		}
		for time.Since(start) < 5*time.Minute {
			time.Sleep(10 * time.Second)
			w.latest(t.Context())
		}
		if now := w.latest(t.Context()); len(now.dirs) != 1 || now.dirs[0].Time.Sub(start) != begun[len(begun)-1] {
			t.Errorf("%+v, walks %v", now, begun)
		}
		if len(begun) != 2 || begun[1] < 210*time.Second || begun[1] > 225*time.Second {
			t.Errorf("walks began at %v, want one and another when twenty times its ten seconds were over", begun)
		}
	})
}

// TestWalkGoesOn when who asked for it does not wait any more, and is waited for when it is quick.
func TestWalkGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begun []time.Time
		w := &walks{background: func(f func()) bool { go f(); return true }, measure: func(written) written {
			begun = append(begun, time.Now())
			time.Sleep(patience / 2)
			return written{dirs: []DiskUsage{{Time: begun[0]}}}
		}}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if found := w.latest(gone); found.dirs != nil {
			t.Errorf("%+v at once", found)
		}
		time.Sleep(patience)
		if found := w.latest(t.Context()); len(found.dirs) != 1 || len(begun) != 1 {
			t.Errorf("%+v, walks %v", found, begun)
		}
		time.Sleep(idleness * patience)
		before := time.Now()
		if w.latest(t.Context()); time.Since(before) != patience/2 || !slices.Contains(begun, before) {
			t.Errorf("%v, walks %v, want the end of the second", time.Since(before), begun)
		}
	})
}

// TestNoWalk begins once its owner is closed, and nobody waits for one.
func TestNoWalk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, start := &walks{background: func(func()) bool { return false }}, time.Now()
		for range 2 {
			if found := w.latest(t.Context()); found.dirs != nil || time.Since(start) != 0 {
				t.Errorf("%+v after %v", found, time.Since(start))
			}
		}
	})
}
