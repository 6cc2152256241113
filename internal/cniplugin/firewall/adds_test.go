// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"fmt"
	"testing"

	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
)

// BenchmarkAdds has only ADDs: an iptables that ends after rules were deleted waits until the kernel has freed them, 10 to 20 ms.
func BenchmarkAdds(b *testing.B) {
	for _, who := range []string{"inside", "reference"} {
		b.Run(who, func(b *testing.B) {
			pair := plugintest.NewPair(b)
			p, i := newPlugin(b, pair), 0
			for b.Loop() {
				i++
				in := call(iptables, bridged, fmt.Sprintf(`[{"address":"10.%d.%d.9/24"}]`, i/250, i%250))
				var err error
				if who == "inside" {
					_, err = plugintest.Inside(b.Context(), p, pair, "ADD", in)
				} else {
					_, err = plugintest.Reference(b, pair, "ADD", in)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
