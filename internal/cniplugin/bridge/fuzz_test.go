// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"testing"

	"github.com/sardine-run/sardine/internal/cniplugin"
)

// FuzzConfig reads configurations. What is accepted is within bounds.
func FuzzConfig(f *testing.F) {
	for _, seed := range []string{
		`{"name":"n","bridge":"cni0","isDefaultGateway":true,"vlan":100,"vlanTrunk":[{"minID":1,"maxID":4094},{"id":7}],"mtu":1400}`,
		`{"runtimeConfig":{"mac":"02:00:00:00:00:01"},"args":{"cni":{"mac":"x"}},"ipam":{"type":"host-local"},"dns":{"search":["a"]}}`,
		`{"bridge":"../..","mtu":-1,"vlan":-1,"vlanTrunk":[null,{"minID":-1,"maxID":70000}],"prevResult":{"interfaces":[null]},"cniVersion":"1.0.0"}`,
	} {
		f.Add([]byte(seed), "IgnoreUnknown=1;MAC=02:00:00:00:00:02")
	}
	f.Fuzz(func(t *testing.T, text []byte, args string) {
		conf, err := parseAdd(&cniplugin.Call{Config: text, Args: args})
		if err != nil {
			return
		}
		if len(conf.Bridge) == 0 || len(conf.Bridge) > 15 || conf.VLAN < 0 || conf.VLAN > 4094 || conf.mtu() < 0 || conf.mtu() > 65535 {
			t.Errorf("%+v", conf)
		}
		if conf.mac != nil && (len(conf.mac) != 6 || conf.mac[0]&1 != 0) {
			t.Error(conf.mac)
		}
		var last uint16
		for _, r := range conf.trunks {
			if r.first <= last || r.last < r.first || r.last > 4094 {
				t.Error(conf.trunks)
			}
			last = r.last
		}
		_, _ = conf.Result()
	})
}
