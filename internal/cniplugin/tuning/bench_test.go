// SPDX-License-Identifier: Apache-2.0

package tuning

import (
	"testing"

	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
)

// BenchmarkAttachment is ADD and DEL with everything there is to set.
func BenchmarkAttachment(b *testing.B) {
	c := call(configurations["all"].config, b.TempDir(), "")
	b.Run("inside", func(b *testing.B) {
		pair, p := plugintest.NewPair(b), New(Config{})
		pair.Veth(b, "host0", "eth0")
		for b.Loop() {
			for _, verb := range []string{"ADD", "DEL"} {
				if _, err := plugintest.Inside(b.Context(), p, pair, verb, c); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("reference", func(b *testing.B) {
		pair := plugintest.NewPair(b)
		pair.Veth(b, "host0", "eth0")
		for b.Loop() {
			for _, verb := range []string{"ADD", "DEL"} {
				if _, err := plugintest.Reference(b, pair, verb, c); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
