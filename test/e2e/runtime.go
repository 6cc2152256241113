// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"testing"
)

const (
	// Sardine is the runtime name of containers that the daemon runs itself.
	Sardine = "io.containerd.sardine.v1"
	// Runc is the runtime name of containerd's shim with runc.
	Runc = "io.containerd.runc.v2"
)

// DefaultRuntime is the runtime under test: SARDINE_E2E_RUNTIME, or ours.
// Another one shows what containerd's own runtime does in the same test.
func DefaultRuntime() string {
	if name := os.Getenv("SARDINE_E2E_RUNTIME"); name != "" {
		return name
	}
	return Sardine
}

// EachRuntime runs a test with our runtime and with containerd's shim, for what
// the daemon has to pass on to either. What only a runtime does is tested with
// DefaultRuntime.
func EachRuntime(t *testing.T, test func(t *testing.T, runtime string)) {
	for _, name := range []string{Sardine, Runc} {
		t.Run(name, func(t *testing.T) { test(t, name) })
	}
}
