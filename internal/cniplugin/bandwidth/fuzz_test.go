// SPDX-License-Identifier: Apache-2.0

package bandwidth

import (
	"testing"

	"github.com/sardine-run/sardine/internal/cniplugin"
)

func FuzzParse(f *testing.F) {
	for _, c := range configurations {
		f.Add([]byte(call(c.config, interfaces).Config))
	}
	f.Fuzz(func(t *testing.T, config []byte) {
		conf, err := parse(&cniplugin.Call{Config: config})
		if err != nil {
			return
		}
		for _, b := range []bucket{conf.wanted().ingress(), conf.wanted().egress()} {
			if q := b.qdisc(1); b.rate > 0 && q.Rate == 0 {
				t.Fatalf("%v is %v", b, q)
			}
		}
		if name := deviceName(conf.Name, "c"); len(name) != 15 {
			t.Fatal(name)
		}
	})
}
