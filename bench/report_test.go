// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
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
	b := &bench{effort: effort{rounds: 2, stress: time.Second, hold: 10}}
	b.sardine = series{one: []float64{one}, four: []float64{200}, memory: []float64{memory}, idle: []float64{40}}
	b.peer = series{one: []float64{10}, four: []float64{20}, memory: []float64{5200}, idle: []float64{54}}
	b.ourPods = podSeries{ready: []float64{9}, bridge: []float64{50}, own: []float64{10}, createStart: []float64{5}, exec: []float64{3}, four: []float64{80}}
	b.peerPods = podSeries{ready: []float64{90}, bridge: []float64{140}, own: []float64{95}, createStart: []float64{46}, exec: []float64{16}, four: []float64{10}}
	return b.report()
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
	for _, want := range []string{"\n## Pods\n", "| of which not the plugins | 10.0 ms | 95.0 ms | 0.11 | at most 12 ms | pass |"} {
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
