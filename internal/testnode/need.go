// SPDX-License-Identifier: Apache-2.0

package testnode

import (
	"os"
	"testing"
)

// NeedRoot skips a test that can't do its work without root. In CI, where root
// is promised, it fails instead.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Unavailable(t, "needs root")
	}
}

// Unavailable skips a test for want of something that a machine prepared with
// "make deps tools" has, and fails it in CI (CI=true), where a skip would go
// unseen. What depends on the kernel or its configuration skips with t.Skip.
func Unavailable(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("can't run here: %s", reason)
	}
	t.Skipf("can't run here: %s", reason)
}
