// SPDX-License-Identifier: Apache-2.0

package network_test

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sardine-run/sardine/internal/network"
)

// BenchmarkBridge attaches and detaches pods with the reference plugins bridge, host-local and
// portmap: one pod after the other, with the namespace there at DEL and closed before it.
func BenchmarkBridge(b *testing.B) {
	for _, masq := range []bool{false, true} {
		for _, port := range []bool{false, true} {
			for _, closed := range []bool{false, true} {
				b.Run(fmt.Sprintf("masquerade=%t/port=%t/closed=%t", masq, port, closed), func(b *testing.B) {
					n := newBridge(b, fmt.Sprintf(`,"ipMasq":%t`, masq))
					var add, del time.Duration
					b.ResetTimer()
					for i := range b.N {
						p := &pod{id: fmt.Sprintf("pod%d", i), port: port, closed: closed}
						p.live(b, n)
						add += p.add
						del += p.del
					}
					b.ReportMetric(float64(add.Microseconds())/float64(b.N)/1e3, "ms/ADD")
					b.ReportMetric(float64(del.Microseconds())/float64(b.N)/1e3, "ms/DEL")
				})
			}
		}
	}
}

// BenchmarkWidth has 32 clients attach and detach pods while few or all of them are admitted.
func BenchmarkWidth(b *testing.B) {
	for _, width := range []int{1, 2, 4, 8, 16, 32} {
		for _, closed := range []bool{false, true} {
			b.Run(fmt.Sprintf("width=%d/closed=%t", width, closed), func(b *testing.B) {
				n := newBridge(b, "", func(c *network.Config) { c.Concurrency = width })
				var next atomic.Int64
				var wg sync.WaitGroup
				b.ResetTimer()
				for range 32 {
					wg.Go(func() {
						for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
							p := &pod{id: fmt.Sprintf("pod%d", i), closed: closed}
							p.live(b, n)
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pods/s")
			})
		}
	}
}

type pod struct {
	id           string
	port, closed bool
	add, del     time.Duration
}

func (p *pod) live(b *testing.B, n *node) {
	ns := newNamespace(b)
	a := &network.Attachment{ID: p.id, Name: p.id, Namespace: "shop", NetNS: ns.path()}
	if p.port {
		a.PortMappings = []network.PortMapping{{Protocol: "TCP", ContainerPort: 80, HostPort: 8080}}
	}
	began := time.Now()
	if _, err := n.Setup(context.Background(), a); err != nil {
		b.Error(err)
	}
	p.add = time.Since(began)
	path := a.NetNS
	began = time.Now()
	if p.closed {
		ns.close()
		path = ""
	}
	if err := n.Teardown(context.Background(), p.id, path); err != nil {
		b.Error(err)
	}
	p.del = time.Since(began)
	ns.close()
}

// BenchmarkOwnPart is what is spent around the plugins: a pod attached and detached by one that does
// nothing, less the same plugin executed twice.
func BenchmarkOwnPart(b *testing.B) {
	n := newNode(b)
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	ns := newNamespace(b)
	conf := fmt.Sprintf(`{"cniVersion":"1.0.0","control":%q,"addresses":["10.1.0.2/16"]}`, n.control)
	var around, inside time.Duration
	b.ResetTimer()
	for i := range b.N {
		a := &network.Attachment{ID: fmt.Sprintf("pod%d", i), Name: "web", Namespace: "shop", NetNS: ns.path()}
		began := time.Now()
		if _, err := n.Setup(context.Background(), a); err != nil {
			b.Fatal(err)
		}
		if err := n.Teardown(context.Background(), a.ID, a.NetNS); err != nil {
			b.Fatal(err)
		}
		around += time.Since(began)
		began = time.Now()
		for _, command := range []string{"ADD", "DEL"} {
			cmd := exec.Command(n.config.BinDirs[0] + "/fake")
			cmd.Env = []string{"CNI_COMMAND=" + command}
			cmd.Stdin = strings.NewReader(conf)
			if err := cmd.Run(); err != nil {
				b.Fatal(err)
			}
		}
		inside += time.Since(began)
	}
	b.ReportMetric(float64((around-inside).Microseconds())/float64(b.N), "µs/pod")
	b.ReportMetric(float64(inside.Microseconds())/float64(b.N), "µs/plugins")
}
