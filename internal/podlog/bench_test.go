// SPDX-License-Identifier: Apache-2.0

package podlog

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// benchConfig has its log on tmpfs, where there is one, so that no disk is measured.
func benchConfig(b *testing.B) (Config, Options) {
	b.Helper()
	cfg := newConfig(b)
	dir, err := os.MkdirTemp("/dev/shm", "podlog")
	if err != nil {
		dir = b.TempDir()
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	cfg.Path = filepath.Join(dir, "0.log")
	return cfg, Options{MaxLine: DefaultMaxLine, Journal: filepath.Join(dir, "journal")}
}

// BenchmarkOutput is one container that prints as fast as it can, in writes of 64 KiB.
func BenchmarkOutput(b *testing.B) {
	for _, size := range []int{32, 100, 1000, 10_000, 100_000} {
		b.Run(fmt.Sprint("line=", size), func(b *testing.B) {
			cfg, opts := benchConfig(b)
			h := newHub(b, opts)
			c := openBox(b, h, cfg)
			line := strings.Repeat("x", size-1) + "\n"
			chunk := []byte(strings.Repeat(line, max(1, 65536/size)))
			b.SetBytes(int64(len(chunk)))
			written := 0
			for b.Loop() {
				if _, err := c.stdout.Write(chunk); err != nil {
					b.Fatal(err)
				}
				if written += len(chunk); written > 256<<20 { // as the kubelet rotates
					b.StopTimer()
					os.Truncate(cfg.Path, 0)
					written = 0
					b.StartTimer()
				}
			}
			c.drain()
			b.ReportMetric(float64(b.N)*float64(len(chunk)/size)/b.Elapsed().Seconds(), "lines/s")
			if h.Lost() != 0 {
				b.Errorf("%d bytes were lost", h.Lost())
			}
		})
	}
}

// BenchmarkWrites is a program that does not buffer its lines.
func BenchmarkWrites(b *testing.B) {
	cfg, opts := benchConfig(b)
	c := openBox(b, newHub(b, opts), cfg)
	line := []byte(strings.Repeat("x", 99) + "\n")
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		if _, err := c.stdout.Write(line); err != nil {
			b.Fatal(err)
		}
	}
	c.drain()
}

// BenchmarkLine is the way of one line from the program to the file.
func BenchmarkLine(b *testing.B) {
	cfg, opts := benchConfig(b)
	c := openBox(b, newHub(b, opts), cfg)
	line := []byte(strings.Repeat("x", 99) + "\n")
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		if _, err := c.stdout.Write(line); err != nil {
			b.Fatal(err)
		}
		for waiting(b, c.stdout) > 0 {
			runtime.Gosched()
		}
	}
}

// BenchmarkStartOfLine is the same for a piece of a line, which is kept.
func BenchmarkStartOfLine(b *testing.B) {
	cfg, opts := benchConfig(b)
	c := openBox(b, newHub(b, opts), cfg)
	for b.Loop() {
		if _, err := c.stdout.Write([]byte("x")); err != nil {
			b.Fatal(err)
		}
		for waiting(b, c.stdout) > 0 {
			runtime.Gosched()
		}
	}
}

// BenchmarkIdle is the heap that an idle container takes.
func BenchmarkIdle(b *testing.B) {
	for range b.N {
		b.StopTimer()
		const count = 2000 // six descriptors each, with the writers
		h := newHub(b, Options{Journal: filepath.Join(b.TempDir(), "journal")})
		dir := b.TempDir()
		before := heap()
		b.StartTimer()
		logs := make([]Log, count)
		for i := range logs {
			cfg := Config{ID: fmt.Sprint(i), Stdout: fmt.Sprintf("%s/%d-out", dir, i), Stderr: fmt.Sprintf("%s/%d-err", dir, i)}
			for _, path := range []string{cfg.Stdout, cfg.Stderr} {
				if err := MakeFIFO(path); err != nil {
					b.Fatal(err)
				}
			}
			cfg.Path = fmt.Sprintf("%s/%d.log", dir, i)
			var err error
			if logs[i], err = h.Open(cfg); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		time.Sleep(10 * time.Millisecond)
		b.ReportMetric(float64(heap()-before)/count, "heap-B/container")
		b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/count*1e6, "µs/open")
		for _, l := range logs {
			l.Close()
		}
		h.Close()
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
