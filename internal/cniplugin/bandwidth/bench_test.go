// SPDX-License-Identifier: Apache-2.0

package bandwidth

import (
	"testing"

	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
)

// BenchmarkVerbs has both directions limited. The veth is made anew each time, not measured.
func BenchmarkVerbs(b *testing.B) {
	in := call(configurations["documented"].config, interfaces)
	verbs := map[string]func(b *testing.B, p *Plugin, pair plugintest.Pair, verb string) error{
		"inside": func(b *testing.B, p *Plugin, pair plugintest.Pair, verb string) error {
			_, err := plugintest.Inside(b.Context(), p, pair, verb, in)
			return err
		},
		"reference": func(b *testing.B, _ *Plugin, pair plugintest.Pair, verb string) error {
			_, err := plugintest.Reference(b, pair, verb, in)
			return err
		},
	}
	for who, do := range verbs {
		for _, measured := range []string{"ADD", "DEL"} {
			b.Run(who+"/"+measured, func(b *testing.B) {
				pair := plugintest.NewPair(b)
				p := newPlugin(b, pair)
				b.StopTimer()
				for range b.N {
					pair.Veth(b, "host0", "eth0")
					for _, verb := range []string{"ADD", "DEL"} {
						if verb == measured {
							b.StartTimer()
						}
						if err := do(b, p, pair, verb); err != nil {
							b.Fatal(err)
						}
						b.StopTimer()
					}
					link, err := pair.Host.LinkByName("host0")
					if err == nil {
						err = pair.Host.LinkDel(link)
					}
					if err != nil {
						b.Fatal(err)
					}
					settled(b, p)
				}
			})
		}
	}
}
