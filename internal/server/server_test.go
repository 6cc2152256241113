// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"go/build"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
)

// TestBuiltins compares our list of plugins with the one of containerd's own
// build, so that a new version of containerd can't bring one unseen.
func TestBuiltins(t *testing.T) {
	stock := importsOf(t, "github.com/containerd/containerd/v2/cmd/containerd/builtins")
	ours := importsOf(t, "github.com/sardine-run/sardine/internal/server")
	for _, path := range stock {
		if !slices.Contains(ours, path) {
			t.Errorf("%s is not imported", path)
		}
	}
	if len(stock) < 40 {
		t.Errorf("containerd has only %d plugins, is this its list? %q", len(stock), stock)
	}
}

func importsOf(t *testing.T, path string) []string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	p, err := build.Import(path, dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	return p.Imports
}

// keepRegistry restores the process-wide registry when the test ends.
func keepRegistry(t *testing.T) {
	t.Helper()
	saved := registry.Graph(nil)
	t.Cleanup(func() { restore(saved) })
}

func restore(saved []plugin.Registration) {
	registry.Reset()
	for i := range saved {
		registry.Register(&saved[i])
	}
}

func TestReplaceTaskRuntime(t *testing.T) {
	keepRegistry(t)
	before := registry.Graph(nil)
	type config struct{ Replaced bool }
	err := ReplaceTaskRuntime(func(stock plugin.Registration) plugin.Registration {
		if stock.InitFn == nil || stock.Config == nil {
			t.Error("the stock registration is empty")
		}
		stock.Config = &config{Replaced: true}
		return stock
	})
	if err != nil {
		t.Fatal(err)
	}
	after := registry.Graph(nil)
	if len(after) != len(before) {
		t.Errorf("%d registrations, want %d as before", len(after), len(before))
	}
	i := indexTaskRuntime(after)
	if i < 0 {
		t.Fatal("no task runtime any more")
	}
	if _, ok := after[i].Config.(*config); !ok {
		t.Errorf("the task runtime has configuration %T, want the replacement's", after[i].Config)
	}
}

func TestReplaceTaskRuntimeRefused(t *testing.T) {
	keepRegistry(t)
	err := ReplaceTaskRuntime(func(stock plugin.Registration) plugin.Registration {
		stock.ID = "other"
		return stock
	})
	if err == nil || !strings.Contains(err.Error(), "other") {
		t.Errorf("a runtime under another id: %v, want an error that names it", err)
	}
	if indexTaskRuntime(registry.Graph(nil)) < 0 {
		t.Error("the refused replacement took the stock runtime away")
	}
	registry.Reset()
	if err := ReplaceTaskRuntime(nil); !errors.Is(err, errNoTaskRuntime) {
		t.Errorf("with an empty registry: %v, want %v", err, errNoTaskRuntime)
	}
}

func TestApp(t *testing.T) {
	keepRegistry(t)
	app, err := App()
	if err != nil {
		t.Fatal(err)
	}
	if app.Name != "sardined" || !strings.Contains(app.Version, "containerd API") {
		t.Errorf("name %q, version %q", app.Name, app.Version)
	}
	last := registry.Graph(nil)
	if r := last[len(last)-1]; r.Type != plugins.ServerPlugin || r.ID != "trim" {
		t.Errorf("the last plugin is %s, want the trimmer: it would trim too early", r.URI())
	}
}
