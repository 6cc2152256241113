// SPDX-License-Identifier: Apache-2.0

package ptp_test

import (
	"testing"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/cniplugin/hostlocal"
	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
	"github.com/sardine-run/sardine/internal/cniplugin/ptp"
)

// world is a host with the plugin.
type world struct{ *plugintest.World }

func newWorld(t testing.TB) *world {
	t.Helper()
	return &world{plugintest.NewWorld(t, "ptp", nil, func(w *plugintest.World) map[string]cniplugin.Plugin {
		p := ptp.New(ptp.Config{Host: w.Host, Masquerade: plugintest.Masquerade{Rules: w.Rules}, Reaper: w.Reaper})
		t.Cleanup(func() { p.Close() })
		return map[string]cniplugin.Plugin{"ptp": p, "host-local": hostlocal.New()}
	})}
}
