// SPDX-License-Identifier: Apache-2.0

package bridge_test

import (
	"testing"

	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
)

// TestReference attaches two pods by the reference plugin and two by ours, and compares what both say and leave in the kernel.
func TestReference(t *testing.T) {
	v6 := `"ipam":{"type":"host-local","dataDir":"DATADIR","ranges":[[{"subnet":"10.88.0.0/16"}],[{"subnet":"fd00:88::/64"}]],
		"routes":[{"dst":"10.99.0.0/16","gw":"10.88.0.1","priority":50,"mtu":1400}]}`
	t.Parallel()
	for name, options := range map[string]string{
		"plain":             ``,
		"gateway":           `{"isGateway":true}`,
		"default gateway":   `{"isDefaultGateway":true}`,
		"dual":              `{"isDefaultGateway":true,` + v6 + `}`,
		"dad":               `{"isGateway":true,"enabledad":true,` + v6 + `}`,
		"routes":            `{"isGateway":true,"ipam":{"type":"host-local","dataDir":"DATADIR","subnet":"10.88.0.0/16","gateway":"10.88.0.7","routes":[{"dst":"0.0.0.0/0"},{"dst":"10.5.0.0/16","gw":"10.88.0.9","table":77,"scope":0}]}}`,
		"mtu":               `{"mtu":1400}`,
		"negative mtu":      `{"mtu":-1}`,
		"hairpin":           `{"hairpinMode":true}`,
		"promiscuous":       `{"promiscMode":true,"isGateway":true}`,
		"isolated":          `{"portIsolation":true,"hairpinMode":true}`,
		"vlan":              `{"vlan":100}`,
		"vlan gateway":      `{"vlan":100,"isDefaultGateway":true}`,
		"vlan kept":         `{"vlan":100,"preserveDefaultVlan":true}`,
		"trunk":             `{"vlanTrunk":[{"minID":100,"maxID":103},{"id":7},{"id":200},{"minID":201,"maxID":203,"id":9}]}`,
		"vlan and trunk":    `{"vlan":5,"vlanTrunk":[{"minID":10,"maxID":12}]}`,
		"empty trunk":       `{"vlanTrunk":[]}`,
		"layer 2":           `{"ipam":null}`,
		"empty ipam":        `{"ipam":{}}`,
		"layer 2, vlan":     `{"ipam":null,"vlan":3}`,
		"without interface": `{"ipam":null,"disableContainerInterface":true}`,
		"dns":               `{"dns":{"nameservers":["1.2.3.4"],"search":["a.b"]}}`,
		"old version":       `{"cniVersion":"0.3.1","isGateway":true}`,
		"older version":     `{"cniVersion":"0.2.0","isGateway":true}`,
		"mac by args":       `{"args":{"cni":{"mac":"02:11:22:33:44:66"}}}`,
		"mac by runtime":    `{"args":{"cni":{"mac":"02:11:22:33:44:66"}},"runtimeConfig":{"mac":"02:11:22:33:44:77"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reference, ours := newWorld(t), newWorld(t)
			a := plugintest.AttachTwo(t, reference.Host, func(pair plugintest.Pair, id string) (string, error) {
				return plugintest.Reference(t, pair, "ADD", plugintest.Call{Type: "bridge", ContainerID: id, Config: reference.Config(options)})
			})
			withoutIPv6(t, a)
			b := plugintest.AttachTwo(t, ours.Host, func(pair plugintest.Pair, id string) (string, error) {
				return ours.Call(t.Context(), "ADD", plugintest.Call{ContainerID: id, Config: ours.Config(options)}, pair.Pod)
			})
			plugintest.Alike(t, a, b)
		})
	}
}

// withoutIPv6 does to what the reference has made what ours do besides: ports of the bridge, and pods that were given addresses but none of IPv6,
// have none at all.
func withoutIPv6(t *testing.T, a plugintest.Attached) {
	t.Helper()
	plugintest.Run(t, a.Host, "sh", "-c", "for i in /proc/sys/net/ipv6/conf/veth*; do [ ! -e $i ] || echo 1 >$i/disable_ipv6; done")
	for _, pod := range a.Pods {
		plugintest.Run(t, pod, "sh", "-c", "given=$(ip -o addr show scope global); case $given in *' inet6 '* | '') ;; *) echo 1 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6;; esac")
	}
}
