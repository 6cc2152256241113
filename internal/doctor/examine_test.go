// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/cgroup"
	"github.com/sardine-run/sardine/internal/kernel"
)

// install makes a directory with the programs named, and returns it.
func install(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// find returns the finding with the given name.
func find(t *testing.T, findings []Finding, name string) Finding {
	t.Helper()
	for _, f := range findings {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("no finding %q in %+v", name, findings)
	return Finding{}
}

func TestExamineThisMachine(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to try what sardined does")
	}
	bin := install(t, "sardined", "sardine-init")
	top := t.TempDir()
	r := Examine(Options{Root: filepath.Join(top, "root"), State: top, Daemon: filepath.Join(bin, "sardined"), CNIBin: bin})
	for _, f := range r.Findings {
		if f.Name == "" || f.Group == "" || f.Verdict == "" || f.Detail == "" {
			t.Errorf("incomplete: %+v", f)
		}
		if f.Verdict == Missing && (f.Lost == "" || f.Advice == "") {
			t.Errorf("missing without a word on what is lost or how to get it: %+v", f)
		}
		if f.Required && f.Verdict != OK {
			t.Errorf("the tests of sardined run here, so this should be found: %+v", f)
		}
	}
	if !r.Runnable() {
		t.Error("not runnable")
	}
	left, err := os.ReadDir(top)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind in the root directory: %v, %v", left, err)
	}
}

func TestProgramsAreRequired(t *testing.T) {
	tests := map[string]struct {
		have           []string
		sardined, init Verdict
	}{
		"all":           {[]string{"sardined", "sardine-init"}, OK, OK},
		"no init":       {[]string{"sardined"}, OK, Missing},
		"daemon absent": {[]string{"sardine-init"}, Missing, OK},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			findings := Options{Daemon: filepath.Join(install(t, test.have...), "sardined")}.programs()
			daemon, init := find(t, findings, "sardined"), find(t, findings, "sardine-init")
			if daemon.Verdict != test.sardined || init.Verdict != test.init || !daemon.Required || !init.Required {
				t.Errorf("got %+v, %+v", daemon, init)
			}
		})
	}
	t.Run("init is a directory", func(t *testing.T) {
		bin := install(t, "sardined")
		if err := os.Mkdir(filepath.Join(bin, "sardine-init"), 0o755); err != nil {
			t.Fatal(err)
		}
		if f := initBeside(filepath.Join(bin, "sardined")); f.Verdict != Missing {
			t.Errorf("got %+v", f)
		}
	})
}

func TestStockRuntime(t *testing.T) {
	tests := map[string]struct {
		have []string
		want Verdict
		word string
	}{
		"nothing":       {nil, Info, "itself"},
		"shim and runc": {[]string{"containerd-shim-runc-v2", "runc"}, Info, "go to"},
		"only the shim": {[]string{"containerd-shim-runc-v2"}, Missing, "no runc"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PATH", install(t, test.have...))
			if f := stockRuntime(); f.Verdict != test.want || !strings.Contains(f.Detail, test.word) || f.Required {
				t.Errorf("got %+v", f)
			}
		})
	}
}

func TestFeatureFinding(t *testing.T) {
	feature := kernel.Feature{Name: kernel.FeatureOpenat2, Since: kernel.Version{Major: 5, Minor: 6}, Lost: "much", Fallback: "little", Advice: "pray"}
	yes := featureFinding(feature, kernel.Answer{Support: kernel.SupportYes})
	if yes.Verdict != OK || !yes.Required || yes.Lost != "much (instead: little)" || yes.Advice != "Linux 5.6; pray" {
		t.Errorf("yes: %+v", yes)
	}
	no := featureFinding(feature, kernel.Answer{Support: kernel.SupportNo, Err: unix.ENOSYS})
	if no.Verdict != Missing || !strings.Contains(no.Detail, "not implemented") {
		t.Errorf("no: %+v", no)
	}
	unknown := featureFinding(feature, kernel.Answer{Err: unix.EPERM})
	if unknown.Verdict != Info || !strings.HasPrefix(unknown.Detail, "could not tell") || unknown.Advice != "" {
		t.Errorf("unknown: %+v", unknown)
	}
	feature.Name = kernel.FeatureFUSE
	if featureFinding(feature, kernel.Answer{Err: unix.EPERM}).Required {
		t.Error("FUSE is not required")
	}
}

func TestNeededFeaturesHaveProbes(t *testing.T) {
	known := map[kernel.FeatureName]bool{}
	for _, feature := range kernel.NewFeatures("/").List() {
		known[feature.Name] = true
	}
	for _, name := range neededFeatures() {
		if !known[name] {
			t.Errorf("no probe for %s", name)
		}
	}
}

func TestFound(t *testing.T) {
	tests := map[Verdict]error{
		OK:      nil,
		Info:    fmt.Errorf("load: %w", unix.EPERM),
		Missing: errors.New("gone"),
	}
	for want, err := range tests {
		if got := (Finding{Advice: "do"}).found("here", err); got.Verdict != want {
			t.Errorf("%v: got %+v", err, got)
		}
	}
	if got := (Finding{Verdict: OK, Detail: "5"}).atLeast(5, 10); got.Verdict != Info || got.Detail != "5, 10 recommended" {
		t.Errorf("got %+v", got)
	}
	if got := (Finding{Verdict: OK}).atLeast(10, 10); got.Verdict != OK {
		t.Errorf("got %+v", got)
	}
}

func TestControllers(t *testing.T) {
	for _, mode := range []cgroup.Mode{cgroup.Legacy, cgroup.Hybrid, cgroup.Unified} {
		for _, c := range controllers(mode) {
			if f := c.finding([]string{"memory"}); (f.Verdict == OK) != (c.name == "memory") || f.Lost == "" {
				t.Errorf("%s: %+v", mode, f)
			}
		}
	}
}

func TestNearestExisting(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir:                          dir,
		filepath.Join(dir, "a", "b"): dir,
		filepath.Join(file, "below"): dir,
		"/no/such/directory":         "/",
	} {
		if got := nearestExisting(path); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

func TestSyncLatency(t *testing.T) {
	dir := t.TempDir()
	if median, err := medianSync(dir); err != nil || median <= 0 {
		t.Errorf("got %v, %v", median, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	if f := syncLatency(filepath.Join(dir, "absent")); f.Verdict != Missing {
		t.Errorf("got %+v", f)
	}
}

func TestEffectiveCapabilities(t *testing.T) {
	got, err := effectiveCapabilities("Name:\tx\nCapPrm:\t0\nCapEff:\t000001fffeffffff\n")
	if err != nil || got != 0x1fffeffffff || got&(1<<unix.CAP_SYS_RESOURCE) != 0 {
		t.Errorf("got %x, %v", got, err)
	}
	for _, status := range []string{"", "CapEff:\tzz\n"} {
		if _, err := effectiveCapabilities(status); err == nil {
			t.Errorf("%q: no error", status)
		}
	}
}

func TestCNIPlugins(t *testing.T) {
	both := install(t, "bridge") + ":" + install(t, "loopback")
	if f := (Options{CNIBin: both}).cniPlugins("bridge", "loopback"); f.Verdict != OK {
		t.Errorf("got %+v", f)
	}
	f := Options{CNIBin: both}.cniPlugins("bridge", "portmap")
	if f.Verdict != Missing || !strings.Contains(f.Detail, "no portmap in") {
		t.Errorf("got %+v", f)
	}
}
