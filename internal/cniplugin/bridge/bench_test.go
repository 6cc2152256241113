// SPDX-License-Identifier: Apache-2.0

package bridge_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/cniplugin/bridge"
	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
	"github.com/sardine-run/sardine/internal/netif"
)

// counter is an IPAM plugin that only counts.
type counter struct {
	cniplugin.Plugin
	n int
}

func (c *counter) Add(context.Context, *cniplugin.Call) (types.Result, error) {
	c.n++
	address, err := types.ParseCIDR(fmt.Sprintf("10.88.%d.%d/16", 1+c.n>>8&0x7f, c.n&0xff))
	return &types100.Result{CNIVersion: "1.1.0", IPs: []*types100.IPConfig{{Address: *address}}}, err
}

func (c *counter) Del(context.Context, *cniplugin.Call) error { return nil }

// BenchmarkAttach is ADD and DEL without what an IPAM plugin and the packet filter take, as medians, in the daemon's own namespace.
func BenchmarkAttach(b *testing.B) {
	for _, ports := range []int{1, 200, 900} {
		b.Run(fmt.Sprintf("ports=%d", ports), func(b *testing.B) { benchmarkAttach(b, ports) })
	}
}

func benchmarkAttach(b *testing.B, ports int) {
	host, err := netif.Host()
	if err != nil {
		b.Fatal(err)
	}
	defer host.Close()
	reaper := netif.NewReaper(host)
	defer reaper.Close()
	p := bridge.New(bridge.Config{Host: host, Reaper: reaper})
	defer p.Close()
	w := &world{&plugintest.World{Host: host, Kind: "bridge", Base: map[string]any{"bridge": "cni0"},
		Plugins: cniplugin.NewSet(map[string]cniplugin.Plugin{"bridge": p, "host-local": &counter{}}, nil)}}
	c := plugintest.Call{Config: w.Config(`{"isDefaultGateway":true}`)}
	for range ports {
		if _, err := w.Call(b.Context(), "ADD", c, plugintest.NewNamespace(b)); err != nil {
			b.Fatal(err)
		}
	}
	time.Sleep(2 * time.Second) // what interfaces have to say on coming up is over
	var adds, dels, addCPU, delCPU []time.Duration
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		pod := plugintest.NewNamespace(b)
		b.StartTimer()
		start, cpu := time.Now(), processorTime(b)
		result, err := w.Call(b.Context(), "ADD", c, pod)
		if err != nil {
			b.Fatal(err)
		}
		added, cpuAdded := time.Now(), processorTime(b)
		if _, err = w.Call(b.Context(), "DEL", plugintest.Call{Config: plugintest.With(c.Config, result)}, pod); err != nil {
			b.Fatal(err)
		}
		addCPU, delCPU = append(addCPU, cpuAdded-cpu), append(delCPU, processorTime(b)-cpuAdded)
		adds, dels = append(adds, added.Sub(start)), append(dels, time.Since(added))
		b.StopTimer()
		time.Sleep(10 * time.Millisecond)
		b.StartTimer()
	}
	for _, m := range []struct {
		name  string
		times []time.Duration
	}{{"add", adds}, {"del", dels}, {"add-cpu", addCPU}, {"del-cpu", delCPU}} {
		slices.Sort(m.times)
		b.ReportMetric(float64(m.times[len(m.times)/2].Microseconds()), "us-"+m.name+"/p50")
		b.ReportMetric(float64(m.times[len(m.times)/10].Microseconds()), "us-"+m.name+"/p10")
	}
}

// processorTime is what this process has used: on a machine that does other things too it says more than the clock.
func processorTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
