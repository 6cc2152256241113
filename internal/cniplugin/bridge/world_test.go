// SPDX-License-Identifier: Apache-2.0

package bridge_test

import (
	"context"
	"testing"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/cniplugin/bridge"
	"github.com/sardine-run/sardine/internal/cniplugin/hostlocal"
	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
)

// world is a host with the plugin.
type world struct{ *plugintest.World }

func newWorld(t testing.TB) *world {
	t.Helper()
	return &world{plugintest.NewWorld(t, "bridge", map[string]any{"bridge": "cni0"}, func(w *plugintest.World) map[string]cniplugin.Plugin {
		p := bridge.New(bridge.Config{Host: w.Host, Masquerade: plugintest.Masquerade{Rules: w.Rules}, Spoof: spoof{w.Rules}, Reaper: w.Reaper})
		t.Cleanup(func() { p.Close() })
		return map[string]cniplugin.Plugin{"bridge": p, "host-local": hostlocal.New()}
	})}
}

// spoof stands for macspoof.Filter.
type spoof struct{ *plugintest.Rules }

func (s spoof) Add(_ context.Context, ifName, mac, id string) error {
	s.Set("spoof "+id, ifName+mac)
	return nil
}

func (s spoof) Del(_ context.Context, _, _, id string) error {
	s.Set("spoof "+id, "")
	return nil
}
