// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
)

// BenchmarkVerbs has a pod with one address come and go beside others.
func BenchmarkVerbs(b *testing.B) {
	in := call(iptables, bridged, `[{"address":"10.9.9.9/24"}]`)
	for _, others := range []int{0, 1000} {
		for _, who := range []string{"inside", "reference"} {
			for _, measured := range []string{"ADD", "DEL"} {
				b.Run(fmt.Sprintf("%s/%s/others=%d", who, measured, others), func(b *testing.B) {
					pair := plugintest.NewPair(b)
					p := newPlugin(b, pair)
					do := func(verb string) (err error) {
						if who == "inside" {
							_, err = plugintest.Inside(b.Context(), p, pair, verb, in)
						} else {
							_, err = plugintest.Reference(b, pair, verb, in)
						}
						return err
					}
					many(b, pair, others)
					b.StopTimer()
					if err := do("ADD"); err != nil {
						b.Fatal(err)
					}
					for range b.N {
						for _, verb := range []string{"DEL", "ADD"} {
							if verb == measured {
								b.StartTimer()
							}
							if err := do(verb); err != nil {
								b.Fatal(err)
							}
							b.StopTimer()
						}
					}
				})
			}
		}
	}
}

// many puts rules of other pods where the plugin will find them.
func many(b *testing.B, pair plugintest.Pair, n int) {
	b.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "*filter\n:%s - [0:0]\n", private)
	for i := range n {
		fmt.Fprintf(&text, "-A %s -d 10.1.%d.%d -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A %s -s 10.1.%d.%d -j ACCEPT\n",
			private, i/250, i%250, private, i/250, i%250)
	}
	plugintest.Run(b, pair.Host, "sh", "-c", "iptables-restore --noflush <<EOF\n"+text.String()+"COMMIT\nEOF\n")
}
