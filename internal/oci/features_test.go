// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"slices"
	"testing"
)

// TestFeatures: what is announced is understood, and what clients look for is announced.
func TestFeatures(t *testing.T) {
	f := Features(nil)
	for _, name := range f.MountOptions {
		if o := parseMountOptions([]string{name}); len(o.data) != 0 {
			t.Errorf("%s is not understood", name)
		}
	}
	for _, name := range []string{"ro", "rro", "rslave", "idmap", "ridmap", "tmpcopyup", "async", "rnosymfollow", "relatime", "ratime"} {
		if !slices.Contains(f.MountOptions, name) {
			t.Errorf("%s is not announced", name)
		}
	}
	if len(slices.Compact(slices.Clone(f.MountOptions))) != len(f.MountOptions) {
		t.Errorf("announced twice: %q", f.MountOptions)
	}
	for _, name := range f.Linux.Capabilities {
		if _, ok := capabilityNumber(name); !ok {
			t.Errorf("%s is not known", name)
		}
	}
}
