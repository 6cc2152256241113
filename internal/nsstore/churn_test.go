// SPDX-License-Identifier: Apache-2.0

package nsstore

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/testnode"
)

// BenchmarkChurn is Make on a node where 60 pods a second come and go, each with a veth pair: the kernel's clean-up of the dead
// holds locks that new ones need.
func BenchmarkChurn(b *testing.B) {
	testnode.NeedRoot(b)
	for _, size := range []int{0, 2, 4, 8, 16} {
		b.Run(fmt.Sprintf("pool=%d", size), func(b *testing.B) {
			s := openPool(b, size)
			defer closeStore(b, s)
			var mu sync.Mutex
			var times []time.Duration
			var workers sync.WaitGroup
			const crew, each = 4, 15 // workers, pods a second
			b.ResetTimer()
			for w := range crew {
				workers.Go(func() {
					for i := 0; i < b.N; i++ {
						began := time.Now()
						took, err := churn(s, fmt.Sprintf("%d-%d", w, i))
						if err != nil {
							b.Error(err)
							return
						}
						mu.Lock()
						times = append(times, took)
						mu.Unlock()
						time.Sleep(time.Second/each - time.Since(began))
					}
				})
			}
			workers.Wait()
			slices.Sort(times)
			if len(times) == 0 {
				return
			}
			b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(times[len(times)*9/10].Microseconds()), "p90-µs")
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// churn is the life of a pod's namespaces, and how long it took to make them.
func churn(s *Store, key string) (time.Duration, error) {
	began := time.Now()
	set, err := s.Make(key, &Request{New: everyNew, SHM: SHM{Size: 1 << 20}})
	took := time.Since(began)
	if err != nil {
		return 0, err
	}
	name := "churn" + key
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name, Flags: 1}, PeerName: "eth0", PeerNamespace: netlink.NsFd(set.File(unix.CLONE_NEWNET).Fd())}
	err = netlink.LinkAdd(veth)
	set.Close()
	if rerr := s.Remove(key); err == nil {
		err = rerr
	}
	return took, err
}
