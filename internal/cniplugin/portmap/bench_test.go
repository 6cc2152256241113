// SPDX-License-Identifier: Apache-2.0

package portmap

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sardine-run/sardine/internal/testnode"
)

// BenchmarkAddDel is a pod with one port and two addresses, with so many mapped ports of other pods.
func BenchmarkAddDel(b *testing.B) {
	for _, others := range []int{1, 1000, 5000} {
		p := plugin(b)
		testnode.ClearRules(b)
		for i := 0; i < others; i += 500 {
			var ports []string
			for j := range min(500, others) {
				ports = append(ports, fmt.Sprintf(`{"hostPort": %d, "containerPort": 80, "protocol": "tcp"}`, 10000+i+j))
			}
			add(b, p, fmt.Sprintf("other%d", i), configure("", strings.Join(ports, ","), bothAddresses))
		}
		config := configure("", webPort, bothAddresses)
		b.Run(fmt.Sprintf("add/%d", others), func(b *testing.B) {
			for b.Loop() {
				if _, err := p.Add(b.Context(), call("pod", config)); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				del(b, p, "pod", config)
				b.StartTimer()
			}
		})
		b.Run(fmt.Sprintf("delete/%d", others), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				add(b, p, "pod", config)
				b.StartTimer()
				del(b, p, "pod", config)
			}
		})
	}
}
