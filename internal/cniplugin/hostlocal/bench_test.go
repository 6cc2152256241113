// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"
)

// taken are how many addresses of a /16 have leases while the benchmarks run.
var taken = []int{1, 1000, 10000, 60000}

// fill makes a directory in which the first n addresses are leased.
func fill(t testing.TB, n int) runner {
	t.Helper()
	r := inside(t.TempDir(), New())
	if err := os.Mkdir(r.network(), 0o755); err != nil {
		t.Fatal(err)
	}
	a, _ := parseAddress("10.1.0.2")
	for i := range n {
		write(t, r.network()+"/"+a.String(), fmt.Sprintf("%064d\r\neth0", i))
		a, _ = a.next()
	}
	return r
}

func BenchmarkAddDel(b *testing.B) {
	for _, n := range taken {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := fill(b, n)
			cycle(b, r) // reads the directory
			for b.Loop() {
				cycle(b, r)
			}
		})
	}
}

// BenchmarkAddWrap looks for the only free addresses, which are behind 60,000 taken ones.
func BenchmarkAddWrap(b *testing.B) {
	r := fill(b, 60000)
	cycle(b, r)
	for b.Loop() {
		b.StopTimer()
		write(b, r.network()+"/last_reserved_ip.0", "10.1.0.2")
		b.StartTimer()
		cycle(b, r)
	}
}

func cycle(b *testing.B, r runner) {
	for _, verb := range []string{"ADD", "DEL"} {
		if _, err := r.run(b, call{verb: verb, id: "pod", conf: simple("10.1.0.0/16")}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead is what the first call after a restart costs, and the first after the reference plugin has been there.
func BenchmarkRead(b *testing.B) {
	for _, n := range taken {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := fill(b, n)
			for b.Loop() {
				var known networks
				if err := known.visit(context.Background(), r.network(), false, func(*directory) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMemory is what is kept of a directory.
func BenchmarkMemory(b *testing.B) {
	for _, n := range taken {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for range b.N {
				before := heap()
				x := newIndex()
				a := parse(b, "10.1.0.2")
				for i := range n {
					x.add(a, fmt.Sprintf("%064d\r\neth0", i))
					a, _ = a.next()
				}
				b.ReportMetric(float64(heap()-before)/float64(n), "B/lease")
				runtime.KeepAlive(x)
			}
		})
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
