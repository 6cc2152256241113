// SPDX-License-Identifier: Apache-2.0

package ptp_test

import (
	"testing"

	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
)

// TestReference attaches two pods by the reference plugin and two by ours, and compares what both say and leave in the kernel.
func TestReference(t *testing.T) {
	v6 := `"ipam":{"type":"host-local","dataDir":"DATADIR","ranges":[[{"subnet":"10.88.0.0/16"}],[{"subnet":"fd00:88::/64"}]],
		"routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"},{"dst":"10.99.0.0/16","gw":"10.88.0.1","priority":50}]}`
	t.Parallel()
	for name, options := range map[string]string{
		"plain":         ``,
		"routes":        `{"ipam":{"type":"host-local","dataDir":"DATADIR","subnet":"10.88.0.0/16","routes":[{"dst":"0.0.0.0/0"},{"dst":"10.5.0.0/16"}]}}`,
		"gateway":       `{"ipam":{"type":"host-local","dataDir":"DATADIR","subnet":"10.88.0.0/16","gateway":"10.88.0.9","routes":[{"dst":"0.0.0.0/0"}]}}`,
		"dual":          `{` + v6 + `}`,
		"v6":            `{"ipam":{"type":"host-local","dataDir":"DATADIR","subnet":"fd00:88::/64","routes":[{"dst":"::/0"}]}}`,
		"mtu":           `{"mtu":1400}`,
		"negative mtu":  `{"mtu":-1}`,
		"dns":           `{"dns":{"nameservers":["1.2.3.4"],"search":["a.b"]}}`,
		"old version":   `{"cniVersion":"0.3.1"}`,
		"older version": `{"cniVersion":"0.2.0"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reference, ours := newWorld(t), newWorld(t)
			a := plugintest.AttachTwo(t, reference.Host, func(pair plugintest.Pair, id string) (string, error) {
				return plugintest.Reference(t, pair, "ADD", plugintest.Call{Type: "ptp", ContainerID: id, Config: reference.Config(options)})
			})
			b := plugintest.AttachTwo(t, ours.Host, func(pair plugintest.Pair, id string) (string, error) {
				return ours.Call(t.Context(), "ADD", plugintest.Call{ContainerID: id, Config: ours.Config(options)}, pair.Pod)
			})
			plugintest.Alike(t, a, b)
		})
	}
}
