// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package seccomp

import (
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestFeatures(t *testing.T) {
	f := Features()
	if !*f.Enabled || len(f.Actions) != 9 || len(f.Operators) != 7 {
		t.Errorf("%+v", f)
	}
	if !slices.Contains(f.SupportedFlags, string(specs.LinuxSeccompFlagSpecAllow)) { // Linux 4.17
		t.Errorf("supported flags %q", f.SupportedFlags)
	}
}
