// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
)

// FuzzConfig looks for a configuration that gets more into the input of iptables-restore than rules of the filter table.
func FuzzConfig(f *testing.F) {
	for _, c := range configurations {
		f.Add([]byte(call(c.options, c.interfaces, c.addresses).Config))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		conf, err := parse(&cniplugin.Call{Config: text})
		if err != nil || conf.complete() != nil || conf.findBridge() != nil {
			return
		}
		for _, family := range families {
			wanted := planOf(conf, family, false)
			rules := wanted.without(nil, nil)
			lines := strings.Split(rules, "\n")
			if rules == "" {
				continue
			}
			if len(lines) != 3+len(wanted.chains())+len(wanted.rules()) || lines[0] != "*filter" || lines[len(lines)-2] != "COMMIT" {
				t.Fatalf("%q", rules)
			}
			for _, l := range lines[1 : len(lines)-2] {
				if !strings.HasPrefix(l, "-A ") && !strings.HasPrefix(l, "-I ") && !strings.HasPrefix(l, "-N ") || strings.Count(l, `"`)%2 != 0 {
					t.Fatalf("%q", l)
				}
			}
		}
	})
}

// FuzzDecode has what the kernel says about rules be anything.
func FuzzDecode(f *testing.F) {
	pair := plugintest.NewPair(f)
	p := newPlugin(f, pair)
	in := call(configurations["isolated"].options, bridged, both)
	if _, err := plugintest.Inside(f.Context(), p, pair, "ADD", in); err != nil {
		f.Skip(err)
	}
	for _, fam := range families {
		for _, chain := range []string{forward, private, stage1, stage2} {
			err := p.filters[fam].socket.ask(func(m *syscall.NetlinkMessage) { f.Add(append([]byte(nil), m.Data...)) }, listRules(fam.number, chain))
			if err != nil {
				f.Fatal(err)
			}
		}
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		decodeRule(&syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: subsystem | unix.NFT_MSG_NEWRULE}, Data: data})
		decodeChain(&syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: subsystem | unix.NFT_MSG_NEWCHAIN}, Data: data})
	})
}
