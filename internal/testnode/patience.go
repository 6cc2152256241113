// SPDX-License-Identifier: Apache-2.0

package testnode

import (
	"testing"
	"time"
)

// Patience is how long a test waits for what happens at once, before it calls it missing. What is in order never takes a tenth of it;
// but machines are emulated, slow and busy.
const Patience = 90 * time.Second

// pause lies between two looks.
const pause = 10 * time.Millisecond

// Eventually waits until what it waits for is so, and ends the test if that takes more than Patience.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !holds(); time.Sleep(pause) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", Patience, what)
		}
	}
}
