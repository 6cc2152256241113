// SPDX-License-Identifier: Apache-2.0

package builtin_test

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/invoke"

	"github.com/sardine-run/sardine/internal/cniplugin/builtin"
	"github.com/sardine-run/sardine/internal/testnode"
)

func TestMain(m *testing.M) { testnode.OwnNetwork(m) }

// Everything that the plugins hold is given back.
func TestNewAndClose(t *testing.T) {
	testnode.NeedRoot(t)
	testnode.CheckClean(t, testnode.Options{Daemon: os.Getpid})
	before := runtime.NumGoroutine()
	for range 3 {
		p, err := builtin.New()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if err := p.Close(); err != nil {
			t.Errorf("again: %v", err)
		}
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if runtime.NumGoroutine() <= before {
			return
		}
	}
	t.Errorf("%d goroutines, before %d", runtime.NumGoroutine(), before)
}

// Every type of the reference plugins that is said to run inside answers VERSION as its program does.
func TestVersions(t *testing.T) {
	testnode.NeedRoot(t)
	tools, err := filepath.Abs("../../../bin/tools")
	if err != nil {
		t.Fatal(err)
	}
	p, err := builtin.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	programs := &invoke.DefaultExec{RawExec: &invoke.RawExec{}}
	set := p.Set(programs)
	all := []string{"bandwidth", "bridge", "firewall", "host-local", "loopback", "macvlan", "portmap", "ptp", "tuning"}
	if !slices.Equal(p.Types(), all) {
		t.Errorf("types %q, expected %q", p.Types(), all)
	}
	for _, name := range all {
		program, err := programs.FindInPath(name, []string{tools})
		if err != nil {
			testnode.Unavailable(t, "no reference program, run make tools: "+err.Error())
		}
		want, err := invoke.GetVersionInfo(t.Context(), program, programs)
		if err != nil {
			t.Fatal(err)
		}
		path, err := set.FindInPath(name, nil)
		if err != nil || path == program {
			t.Errorf("%s: %s, %v", name, path, err)
		}
		got, err := invoke.GetVersionInfo(t.Context(), path, set)
		if err != nil || !slices.Equal(got.SupportedVersions(), want.SupportedVersions()) {
			t.Errorf("%s: %v, %v, expected %v", name, got, err, want)
		}
	}
}
