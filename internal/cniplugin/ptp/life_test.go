// SPDX-License-Identifier: Apache-2.0

package ptp_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
)

// TestLife attaches the same namespace again and again, right after DEL, and looks at what is left.
func TestLife(t *testing.T) {
	w, pod := newWorld(t), plugintest.NewNamespace(t)
	leases := func() int {
		found, _ := filepath.Glob(filepath.Join(w.DataDir, "net", "10.*"))
		return len(found)
	}
	routes := func() int {
		return strings.Count(plugintest.Run(t, w.Host, "ip", "route", "show"), "10.88.")
	}
	for range 3 {
		c := plugintest.Call{Config: w.Config(`{"ipMasq":true}`)}
		result, err := w.Call(t.Context(), "ADD", c, pod)
		if err != nil {
			t.Fatal(err)
		}
		c.Config = plugintest.With(c.Config, result)
		if _, err := w.Call(t.Context(), "CHECK", c, pod); err != nil || leases() != 1 || routes() != 1 || w.Rules.Count() != 1 {
			t.Fatal(err, leases(), routes(), w.Rules.There)
		}
		for range 2 {
			if _, err := w.Call(t.Context(), "DEL", c, pod); err != nil || leases() != 0 || routes() != 0 || w.Rules.Count() != 0 {
				t.Fatal(err, leases(), routes(), w.Rules.There)
			}
		}
	}
	for deadline := time.Now().Add(time.Minute); strings.Contains(plugintest.Run(t, w.Host, "ip", "link"), "veth"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the link is still there")
		}
	}
}

// TestRefused has what cannot be done, of which nothing is left.
func TestRefused(t *testing.T) {
	w, pod := newWorld(t), plugintest.NewNamespace(t)
	for options, message := range map[string]string{
		`{"mtu":70000}`:                              "mtu 70000",
		`{"mtu":5}`:                                  "failed to make veth pair",
		`{"ipMasq":true,"ipMasqBackend":"x"}`:        `unknown ipmasq backend "x"`,
		`{"ipMasq":true,"ipMasqBackend":"iptables"}`: "no iptables here",
		`{"ipam":{"type":"host-local","dataDir":"DATADIR","subnet":"10.88.0.0/16","routes":[{"dst":"10.5.0.0/16","gw":"9.9.9.9"}]}}`: "failed to add route",
	} {
		_, err := w.Call(t.Context(), "ADD", plugintest.Call{Config: w.Config(options)}, pod)
		if err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("%s: %v", options, err)
		}
		links := plugintest.Run(t, w.Host, "ip", "link")
		leases, _ := filepath.Glob(filepath.Join(w.DataDir, "net", "10.*"))
		if strings.Contains(links, "veth") || len(leases) != 0 || w.Rules.Count() != 0 {
			t.Error(links, leases, w.Rules.There)
		}
	}
}
