// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFeatures asks all of them of the running kernel. A kernel newer than the release that
// brought a feature has it, unless it is one that can be left out of the build or switched
// off; then the probe is wrong, or the release.
func TestFeatures(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to mount and to make namespaces")
	}
	optional := map[FeatureName]bool{
		FeatureMemfdExec: true, FeatureIdmappedMount: true, FeatureOverlay: true, FeatureOverlayAppend: true,
		FeatureOverlayVolatile: true, FeatureOverlayXattr: true, FeatureErofsFile: true, FeatureUserNamespace: true,
		FeatureTimeNamespace: true, FeatureBTF: true, FeatureFUSE: true, FeaturePreContent: true,
	}
	running, release, err := RunningVersion()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	features := NewFeatures(dir)
	for _, feature := range features.List() {
		answer := features.Ask(feature.Name)
		t.Logf("%-22s %-7v %v", feature.Name, answer.Support, answer.Err)
		if (answer.Support == SupportYes) != (answer.Err == nil) {
			t.Errorf("%s: %v with error %v", feature.Name, answer.Support, answer.Err)
		}
		if answer.Support == SupportNo && !running.Before(feature.Since) && !optional[feature.Name] {
			t.Errorf("%s is in Linux since %v, but missing in %s: %v", feature.Name, feature.Since, release, answer.Err)
		}
		if answer.Support == SupportUnknown {
			t.Errorf("%s: root should be able to tell: %v", feature.Name, answer.Err)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("probes left %v, %v", left, err)
	}
}

func TestFeaturesAreDescribed(t *testing.T) {
	seen := map[FeatureName]bool{}
	for _, feature := range NewFeatures("/").List() {
		if feature.Name == "" || feature.Lost == "" || feature.Since == (Version{}) || feature.probe == nil || seen[feature.Name] {
			t.Errorf("incomplete or listed twice: %+v", feature)
		}
		seen[feature.Name] = true
	}
}

func TestAnswersAreKeptWhenConclusive(t *testing.T) {
	tests := map[string]struct {
		err    error
		want   Support
		probes int
	}{
		"yes":            {nil, SupportYes, 1},
		"no":             {meansNo(wrap("call", "", unix.EINVAL), unix.EINVAL), SupportNo, 1},
		"no such call":   {wrap("call", "", unix.ENOSYS), SupportNo, 1},
		"could not tell": {wrap("call", "", unix.EPERM), SupportUnknown, 3},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			probes := 0
			feature := Feature{Name: "x", probe: func(string) error { probes++; return test.err }}
			f := &Features{probes: []*probe{{Feature: feature}}}
			for range 3 {
				if got := f.Ask("x"); got.Support != test.want || !errors.Is(got.Err, test.err) {
					t.Errorf("got %v, %v", got.Support, got.Err)
				}
			}
			if probes != test.probes {
				t.Errorf("probed %d times, want %d", probes, test.probes)
			}
			if f.Has("x") != (test.want == SupportYes) {
				t.Errorf("Has disagrees")
			}
		})
	}
	if got := NewFeatures("/").Ask("no such name"); got.Support != SupportUnknown || got.Err == nil {
		t.Errorf("unknown feature: %+v", got)
	}
}

func TestParseVersion(t *testing.T) {
	tests := map[string]Version{
		"6.18.44-fc-v445":   {6, 18},
		"5.15.0-91-generic": {5, 15},
		"6.1":               {6, 1},
		"6.1-rc3":           {6, 1},
	}
	for release, want := range tests {
		if got, err := ParseVersion(release); err != nil || got != want {
			t.Errorf("%s: got %v, %v", release, got, err)
		}
	}
	for _, release := range []string{"", "6", "6.", "x.1", "-6.1", "6.x"} {
		if got, err := ParseVersion(release); err == nil {
			t.Errorf("%q: got %v", release, got)
		}
	}
	if !(Version{5, 15}).Before(Version{6, 1}) || (Version{6, 1}).Before(Version{6, 1}) || (Version{6, 8}).Before(Version{5, 15}) {
		t.Error("Before is wrong")
	}
}
