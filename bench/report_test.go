// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sardine-run/sardine/internal/footprint"
	"github.com/sardine-run/sardine/internal/stress"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v is %g, want %g", c.values, got, c.want)
		}
	}
}

func TestParseBenchmark(t *testing.T) {
	const head = "goos: linux\npkg: x\n"
	for line, want := range map[string]float64{
		"BenchmarkLaunch-2   200   4200000 ns/op   900 B/op   30 allocs/op\n":                                    4.2,
		"BenchmarkLaunch   200   4200000 ns/op   3.9 p50-ms   5.1 p99-ms   9 B/op\n":                             3.9,
		"BenchmarkLaunch 10 1000000 ns/op\nBenchmarkLaunch 10 9000000 ns/op\nBenchmarkLaunch 10 2000000 ns/op\n": 2,
	} {
		if got, err := parseBenchmark(head+line+"PASS\n", "BenchmarkLaunch"); err != nil || got != want {
			t.Errorf("%q: %g, %v; want %g", line, got, err, want)
		}
	}
	for _, output := range []string{"", "PASS\n", "BenchmarkLaunch-2 --- FAIL\n", "BenchmarkLaunch-2 200 x ns/op\n"} {
		if got, err := parseBenchmark(output, "BenchmarkLaunch"); err == nil {
			t.Errorf("%q: %g, want an error", output, got)
		}
	}
}

func example(one, memory float64) *report {
	b := &bench{effort: effort{rounds: 2, stress: time.Second, hold: 10, stops: 100, probed: 200, few: 200, many: 1000}}
	b.sardine = series{one: []float64{one}, four: []float64{200}, memory: []float64{memory}, idle: []float64{40}}
	b.peer = series{one: []float64{10}, four: []float64{20}, memory: []float64{5200}, idle: []float64{54}}
	b.ourPods = podSeries{ready: []float64{9}, bridge: []float64{50}, own: []float64{10}, createStart: []float64{5}, exec: []float64{3}, four: []float64{80}}
	b.peerPods = podSeries{ready: []float64{90}, bridge: []float64{140}, own: []float64{95}, createStart: []float64{46}, exec: []float64{16}, four: []float64{10}}
	b.ourStops, b.peerStops = exampleStops()
	b.echo = echo{paced: 50 * time.Microsecond, busy: 2500}
	b.ourNet, b.peerNet = exampleNetwork()
	b.density = exampleDensity()
	return b.report()
}

// exampleNetwork meets every target exactly.
func exampleNetwork() (ours, peer netSeries) {
	ours = netSeries{add: []float64{3}, del: []float64{2}, ready: []float64{12}, four: []float64{60}, first: 2, last: 3}
	peer = netSeries{add: []float64{40}, del: []float64{110}, ready: []float64{140}, four: []float64{6}, first: 40, last: 44}
	for i := range ways {
		ours.loss[i], peer.loss[i] = []float64{10, 14}, []float64{9, 11}
	}
	return ours, peer
}

// exampleStops meets every target exactly.
func exampleStops() (ours, peer stopSeries) {
	ours = stopSeries{
		container: []float64{3}, sandbox: []float64{4}, exec: []float64{2.5}, execRate: []float64{400}, execMany: []float64{250}, execCPU: []float64{2},
		probe: []float64{0.2}, probeCPU: []float64{0.1}, steady: []float64{1.5}, answered: []float64{194},
	}
	peer = stopSeries{
		container: []float64{21}, sandbox: []float64{70}, exec: []float64{16.5}, execRate: []float64{100}, execMany: []float64{1000}, execCPU: []float64{30},
		probe: []float64{16.5}, probeCPU: []float64{30}, steady: []float64{180}, answered: []float64{60},
	}
	for i := range stopWorkers {
		ours.all[i], peer.all[i] = []float64{0.5}, []float64{4}
	}
	return ours, peer
}

func TestEchoesAreCounted(t *testing.T) {
	e, err := measureEcho(time.Millisecond, 20*time.Millisecond)
	if err != nil || e.paced <= 0 || e.busy <= 0 || e.paced > 20*time.Millisecond || e.busy > time.Millisecond {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestStopVerdicts(t *testing.T) {
	worse := map[string]func(s *stopSeries){
		"StopContainer of a process that ends on SIGTERM, p50":           func(s *stopSeries) { s.container[0] = 3.1 },
		"StopPodSandbox, host network, p50":                              func(s *stopSeries) { s.sandbox[0] = 4.1 },
		"100 pods stopped, 1 thread":                                     func(s *stopSeries) { s.all[0][0] = 0.51 },
		"100 pods stopped, 8 threads":                                    func(s *stopSeries) { s.all[3][0] = 0.51 },
		"ExecSync of /bin/true, 1 client, p50":                           func(s *stopSeries) { s.exec[0] = 2.51 },
		"ExecSync of /bin/true per second, 100 clients in one container": func(s *stopSeries) { s.execRate[0] = 399 },
		"file probe, p50 (beside it: ExecSync of /bin/true)":             func(s *stopSeries) { s.probe[0] = 0.21 },
		"CPU per 1,000 file probes (beside it: ExecSync of /bin/true)":   func(s *stopSeries) { s.probeCPU[0] = 0.11 },
		"CPU with 200 pods, a probe per second in each, of a core":       func(s *stopSeries) { s.steady[0] = 1.51 },
		"of these 200 probes per second answered":                        func(s *stopSeries) { s.answered[0] = 193 },
	}
	for what, change := range worse {
		ours, peer := exampleStops()
		r := &report{effort: effort{stops: 100, probed: 200}}
		if r.addStops(&ours, &peer); r.missed() != 0 {
			t.Errorf("%d targets are missed by what meets all", r.missed())
		}
		change(&ours)
		r.stops = nil
		r.addStops(&ours, &peer)
		for _, row := range r.stops {
			if row.pass == (row.what == what) {
				t.Errorf("worse %s: %s is %t", what, row.what, row.pass)
			}
		}
	}
}

// exampleDensity meets every target exactly.
func exampleDensity() density {
	pods := func(node, daemon, recovery float64, ready stress.Comparison, first, last float64) population {
		held := &stress.HoldResult{NodeKB: node, DaemonKB: daemon, Ready: &stress.ReadyResult{Comparison: ready}, KindsKB: []footprint.Kind{{Name: "tmpfs", KB: 16}}}
		held.While.Threads = 64
		return population{held: held, recovery: time.Duration(recovery * float64(time.Second)), first: first, last: last}
	}
	d := density{
		few: populations{
			pods(600, 40, 0.25, stress.Comparison{First: 20, Last: 23}, 10, 10),
			pods(500, 40, 0.25, stress.Comparison{First: 20, Last: 23}, 10, 10),
			pods(900, 40, 9, stress.Comparison{First: 20, Last: 23}, 10, 10),
		},
		many:     populations{pods(600, 40, 1, stress.Comparison{First: 20, Last: 43}, 10, 30)},
		peer:     populations{pods(7000, 500, 2, stress.Comparison{First: 100, Last: 100}, 50, 50)},
		fewFloor: floor{Node: 300, Kinds: []footprint.Kind{{Name: "tmpfs", KB: 4}}}, manyFloor: floor{Node: 300, Kinds: []footprint.Kind{{Name: "tmpfs", KB: 4}}},
		fewOneCgroup: floor{Node: 200}, manyOneCgroup: floor{Node: 200},
	}
	host := pods(400, 30, 1, stress.Comparison{First: 10, Last: 13}, 0, 0)
	d.host = &host
	d.few[0].held.Idle = &stress.IdleResult{Seconds: 60, DaemonCPU: 0.3}
	return d
}

func TestDensityVerdicts(t *testing.T) {
	worse := map[string]func(d *density){
		"node memory (MemAvailable) per pod, bridge":                    func(d *density) { d.many[0].held.NodeKB, d.manyFloor.Node = 600.1, 301 },
		"the same, times the bare floor":                                func(d *density) { d.fewFloor.Node = 299.9 },
		"daemon memory (RSS) per pod":                                   func(d *density) { d.many[0].held.DaemonKB = 40.1 },
		"daemon CPU with idle pods, of a core":                          func(d *density) { d.few[0].held.Idle.DaemonCPU = 0.31 },
		"kill -9, start, until CRI lists all pods":                      func(d *density) { d.few[0].recovery = time.Second },
		"pod ready p50, last 50 over first 50, host network":            func(d *density) { d.host.held.Ready.Last = 13.1 },
		"the same with the bridge, without the time of plugin programs": func(d *density) { d.many[0].last = 29.9 },
		"threads of the daemon":                                         func(d *density) { d.many[0].held.While.Threads = 65 },
	}
	d := exampleDensity()
	if n := d.report(full).missed(); n != 0 {
		t.Errorf("%d targets are missed by what meets all", n)
	}
	for what, change := range worse {
		d := exampleDensity()
		change(&d)
		for _, row := range d.report(full).rows {
			if row.pass == (row.what == what) {
				t.Errorf("worse %s: %s is %t", what, row.what, row.pass)
			}
		}
	}
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		one, memory float64
		missed      int
	}{{60, 64, 0}, {59.9, 64, 1}, {60, 64.1, 1}, {59, 65, 2}} {
		if got := example(c.one, c.memory).missed(); got != c.missed {
			t.Errorf("%g per second, %g KB: %d targets missed, want %d", c.one, c.memory, got, c.missed)
		}
	}
}

func TestMarkdownKeepsTheNotes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "RESULTS.md")
	if err := os.WriteFile(file, []byte("# old\n\n"+notesMarker+"\nby hand\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := example(59, 64).writeFile(file); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(got)
	if strings.Contains(text, "# old") || strings.Count(text, "by hand") != 1 || strings.Count(text, notesMarker) != 1 {
		t.Errorf("got %s", text)
	}
	for _, want := range []string{
		"\n## Stop and probe\n", "| 100 pods stopped, 4 threads | 0.50 s | 4.00 s | 8.0 times | at least 8 times | pass |",
		"| of these 200 probes per second answered | 194/s | 60.0/s | 3.23 | at least 194/s | pass |",
		"200 times a second, uses 1.00 % of a core on this machine: 50.0 us each time,\nand 2.5 us when one follows the other.",
		"\n## Pods\n", "| of which not the plugins | 10.0 ms | 95.0 ms | 0.11 | at most 12 ms | pass |"} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %s:\n%s", want, text)
		}
	}
	for _, want := range []string{
		"\n## Density\n", "| what | sardined, 200 | sardined, 1000 | containerd, 200 | floor, 200 | floor, 1000 | target | |",
		"| node memory (MemAvailable) per pod, bridge | 600 KB | 600 KB | 7000 KB | 300 KB | 300 KB | at most 600 KB | pass |",
		"| daemon CPU with idle pods, of a core | 0.30 % |  |  |  |  | at most 0.3 % | pass |",
		"| tmpfs | 16.0 KB | 16.0 KB | 16.0 KB | 4.00 KB | 4.00 KB |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %s:\n%s", want, text)
		}
	}
	const row = "| create/start/delete per second, 1 worker | 59.0/s | 10.0/s | 5.9 times | at least 6 times | MISS |"
	if !strings.Contains(text, row) {
		t.Errorf("lacks %s:\n%s", row, text)
	}
}

func TestParsePluginLog(t *testing.T) {
	const log = "ADD a loopback 1000000\nADD a bridge 20000000\nADD b bridge 30000000\nVERSION - bridge 5\nADD a portmap 3000000\nDEL a bridge 90000000\n"
	got, err := parsePluginLog(log)
	if want := []float64{24, 30}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for _, broken := range []string{"ADD a bridge\n", "ADD a bridge x\n", "ADD  bridge 5\n"} {
		if got, err := parsePluginLog(broken); err == nil {
			t.Errorf("%q: %v, want an error", broken, got)
		}
	}
}
