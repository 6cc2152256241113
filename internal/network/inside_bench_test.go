// SPDX-License-Identifier: Apache-2.0

package network_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/network"
)

// idle is a plugin that does nothing: what is left is what is spent around plugins.
type idle struct{}

func (idle) Add(ctx context.Context, c *cniplugin.Call) (types.Result, error) {
	_, route, _ := net.ParseCIDR("0.0.0.0/0")
	return &types100.Result{
		CNIVersion: types100.ImplementedSpecVersion,
		Interfaces: []*types100.Interface{{Name: "br0", Mac: "02:00:00:00:00:01"}, {Name: "veth0123abcd", Mac: "02:00:00:00:00:02"}, {Name: "eth0", Sandbox: c.NetNS}},
		IPs: []*types100.IPConfig{{
			Interface: types100.Int(2), Address: net.IPNet{IP: net.IPv4(10, 0, 0, 2), Mask: net.CIDRMask(24, 32)}, Gateway: net.IPv4(10, 0, 0, 1),
		}},
		Routes: []*types.Route{{Dst: *route}},
	}, nil
}

func (idle) Del(context.Context, *cniplugin.Call) error    { return nil }
func (idle) Check(context.Context, *cniplugin.Call) error  { return nil }
func (idle) Status(context.Context, *cniplugin.Call) error { return nil }
func (idle) GC(context.Context, *cniplugin.Call) error     { return nil }

// BenchmarkAround is Setup and Teardown with two plugins that do nothing.
func BenchmarkAround(b *testing.B) {
	n := newNode(b, func(c *network.Config) {
		c.Plugins = func(binaries invoke.Exec) *cniplugin.Set {
			return cniplugin.NewSet(map[string]cniplugin.Plugin{"bridge": idle{}, "portmap": idle{}}, binaries)
		}
	})
	n.write("10-a.conflist", `{"cniVersion":"1.0.0","name":"blue","plugins":[
		{"type":"bridge","bridge":"br0","isGateway":true,"ipMasq":true,"ipam":{"type":"host-local","ranges":[[{"subnet":"10.0.0.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
		{"type":"portmap","capabilities":{"portMappings":true},"snat":true}]}`)
	ns := newNamespace(b)
	var serial atomic.Int64
	var add, del time.Duration
	b.ReportAllocs()
	for b.Loop() {
		a := &network.Attachment{
			ID: fmt.Sprintf("%064x", serial.Add(1)), Name: "web", Namespace: "shop", UID: "1234", NetNS: ns.path(), LoopbackUp: true,
			PortMappings: []network.PortMapping{{Protocol: "TCP", ContainerPort: 80, HostPort: 8080}},
		}
		began := time.Now()
		if _, err := n.Setup(context.Background(), a); err != nil {
			b.Fatal(err)
		}
		attached := time.Now()
		add += attached.Sub(began)
		if err := n.Teardown(context.Background(), a.ID, a.NetNS); err != nil {
			b.Fatal(err)
		}
		del += time.Since(attached)
	}
	b.ReportMetric(float64(add.Microseconds())/float64(b.N), "µs/ADD")
	b.ReportMetric(float64(del.Microseconds())/float64(b.N), "µs/DEL")
}

// BenchmarkInside attaches and detaches pods with bridge, host-local and portmap inside the daemon: one after the other, while
// some are there already. What is told are medians.
func BenchmarkInside(b *testing.B) {
	for _, masq := range []bool{false, true} {
		for _, port := range []bool{false, true} {
			for _, others := range []int{0, 200} {
				b.Run(fmt.Sprintf("masquerade=%t/port=%t/pods=%d", masq, port, others), func(b *testing.B) {
					n := newBridge(b, fmt.Sprintf(`,"ipMasq":%t`, masq), builtIn(b))
					for i := range others {
						a := &network.Attachment{ID: fmt.Sprintf("other%d", i), Name: "other", Namespace: "shop", NetNS: newNamespace(b).path(), LoopbackUp: true}
						if _, err := n.Setup(context.Background(), a); err != nil {
							b.Fatal(err)
						}
					}
					insidePods(b, n, port)
				})
			}
		}
	}
}

func insidePods(b *testing.B, n *node, port bool) {
	var add, del []time.Duration
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		ns := newNamespace(b)
		a := &network.Attachment{ID: fmt.Sprintf("pod%d", i), Name: "web", Namespace: "shop", NetNS: ns.path(), LoopbackUp: true}
		if port {
			a.PortMappings = []network.PortMapping{{Protocol: "TCP", ContainerPort: 80, HostPort: 8080}}
		}
		b.StartTimer()
		began := time.Now()
		if _, err := n.Setup(context.Background(), a); err != nil {
			b.Fatal(err)
		}
		attached := time.Now()
		if err := n.Teardown(context.Background(), a.ID, a.NetNS); err != nil {
			b.Fatal(err)
		}
		add, del = append(add, attached.Sub(began)), append(del, time.Since(attached))
		ns.close()
	}
	b.ReportMetric(median(add), "ms/ADD")
	b.ReportMetric(median(del), "ms/DEL")
}

// median in milliseconds.
func median(d []time.Duration) float64 {
	slices.Sort(d)
	return d[len(d)/2].Seconds() * 1e3
}

// BenchmarkWidthInside has 32 clients attach and detach pods by plugins inside the daemon while few or all of them are admitted.
func BenchmarkWidthInside(b *testing.B) {
	for _, width := range []int{1, 2, 4, 8, 16, 32} {
		b.Run(fmt.Sprintf("width=%d", width), func(b *testing.B) {
			n := newBridge(b, `,"ipMasq":true`, func(c *network.Config) { builtIn(b)(c); c.Concurrency = width })
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range 32 {
				wg.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						p := &pod{id: fmt.Sprintf("pod%d", i)}
						p.live(b, n)
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pods/s")
		})
	}
}
