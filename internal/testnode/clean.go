// SPDX-License-Identifier: Apache-2.0

package testnode

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// CheckClean takes a snapshot now, and fails the test at its end if the node
// does not become the same again: processes are reaped and cgroups removed
// a little after the call that asked for it returns. Call it before anything whose
// cleanup the check must see done: t.Cleanup runs the last registered first.
func CheckClean(t testing.TB, opts Options) {
	t.Helper()
	before, err := Take(opts)
	if err != nil {
		t.Fatalf("snapshot of the node: %v", err)
	}
	t.Cleanup(func() {
		leaks, err := WaitClean(before)
		if err != nil {
			t.Errorf("snapshot of the node: %v", err)
		}
		if len(leaks) > 0 {
			t.Errorf("left behind on the node:\n%s", List(leaks))
		}
	})
}

// WaitClean compares the node with an earlier snapshot until nothing is left
// over or Patience is, and returns what is left over then.
func WaitClean(before *Snapshot) ([]Leak, error) {
	deadline := time.Now().Add(Patience)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		after, err := Take(before.opts)
		if err != nil {
			return nil, err
		}
		leaks := Diff(before, after)
		if len(leaks) == 0 || time.Now().After(deadline) {
			return leaks, nil
		}
		time.Sleep(pause)
	}
}

// List writes one leak a line, of many only the first ones.
func List(leaks []Leak) string {
	const most = 40
	var lines strings.Builder
	for i, l := range leaks {
		if i == most {
			fmt.Fprintf(&lines, "  and %d more\n", len(leaks)-most)
			break
		}
		fmt.Fprintf(&lines, "  %s\n", l)
	}
	return lines.String()
}
