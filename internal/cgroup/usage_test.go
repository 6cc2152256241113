// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/testnode"
)

func TestUsage(t *testing.T) {
	h := detect(t)
	cfg := testConfig()
	memory, pids := slices.Contains(h.Controllers(), "memory"), slices.Contains(h.Controllers(), "pids")
	if memory {
		cfg.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: pointer[int64](128 << 20)}}
	}
	c := newCgroup(t, h, cfg)
	spawn(t, c, "sleep")
	var u *Usage
	testnode.Eventually(t, "the process used the processor", func() (used bool) {
		var err error
		if u, err = c.Usage(Details); err != nil {
			t.Fatal(err)
		}
		return u.CPU != nil && u.CPU.Total > 0
	})
	if u.CPU.Total > time.Minute || u.CPU.User+u.CPU.System > time.Minute || time.Since(u.At) > time.Minute {
		t.Errorf("at %v: %+v", u.At, u.CPU)
	}
	if memory && (u.Memory == nil || u.Memory.Usage == 0 || u.Memory.Limit != 128<<20 || u.Memory.WorkingSet() > u.Memory.Usage) {
		t.Errorf("memory %+v", u.Memory)
	}
	if pids && (u.Tasks == nil || u.Tasks.Current == 0 || u.Tasks.Limit != NoLimit) {
		t.Errorf("tasks %+v", u.Tasks)
	}
	if _, err := os.Stat("/proc/pressure/cpu"); err == nil && h.Mode() != Legacy && u.CPU.Pressure == nil {
		t.Error("no pressure, the kernel has it")
	}
	parent, err := h.Usage(testParent, Summary)
	if err != nil || parent.CPU == nil || parent.CPU.Total < u.CPU.Total {
		t.Errorf("parent %+v, %v; its child used %v", parent, err, u.CPU.Total)
	}
}

func TestUsageOfNothing(t *testing.T) {
	h := detect(t)
	if u, err := h.Usage(testParent+"/nobody", Details); !errdefs.IsNotFound(err) {
		t.Errorf("%+v, %v", u, err)
	}
	if u, err := h.Usage("nobody-here.slice", Summary); !errdefs.IsNotFound(err) {
		t.Errorf("%+v, %v", u, err)
	}
	for _, name := range []string{"", "/", "/a/../../b", "a--b.slice"} {
		if u, err := h.Usage(name, Summary); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %+v, %v", name, u, err)
		}
	}
}

// directoryHost makes a host whose only hierarchy is a directory with the given files in "c".
func directoryHost(t *testing.T, mode Mode, controllers []string, files map[string]string) *Host {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "c"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, "c", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	hier := &hierarchy{Mount: Mount{Mountpoint: dir, Controllers: controllers}, fd: fd}
	if mode == Unified {
		return &Host{mode: mode, unified: hier}
	}
	return &Host{mode: mode, v1: []*hierarchy{hier}}
}

// The unified host of these tests may have no controllers, so their files come from Linux 6.12.
func TestUsageV2Files(t *testing.T) {
	h := directoryHost(t, Unified, nil, map[string]string{
		"cpu.stat":            "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnice_usec 0\nnr_periods 10\nnr_throttled 4\nthrottled_usec 7000\n",
		"cpu.pressure":        "some avg10=1.50 avg60=0.25 avg300=0.01 total=9\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
		"memory.current":      "5000\n",
		"memory.max":          "max\n",
		"memory.peak":         "6000\n",
		"memory.stat":         "anon 1000\nfile 3000\nkernel 200\nfile_mapped 300\ninactive_file 2000\nactive_file 900\npgfault 77\npgmajfault 7\n",
		"memory.events":       "low 0\nhigh 0\nmax 2\noom 1\noom_kill 3\n",
		"memory.swap.current": "40\n",
		"memory.swap.max":     "100\n",
		"memory.pressure":     "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=4\n",
		"io.stat":             "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n253:1\n",
		"pids.current":        "3\n",
		"pids.max":            "100\n",
	})
	got, err := h.Usage("/c", Details)
	if err != nil {
		t.Fatal(err)
	}
	want := &Usage{
		At: got.At,
		CPU: &CPUUsage{Total: 1500000, User: 1000000, System: 500000, Periods: 10, ThrottledPeriods: 4, Throttled: 7 * time.Millisecond,
			Pressure: &Pressure{Some: Stall{1.5, 0.25, 0.01, 9 * time.Microsecond}}},
		Memory: &MemoryUsage{Usage: 5000, Limit: NoLimit, Anon: 1000, File: 3000, MappedFile: 300, Kernel: 200, InactiveFile: 2000, ActiveFile: 900,
			SwapUsage: 40, SwapLimit: 100, SwapAccounted: true, PageFaults: 77, MajorFaults: 7, OwnPageFaults: 77, OwnMajorFaults: 7,
			MaxUsage: 6000, OOMKillings: 3, Pressure: &Pressure{Some: Stall{Total: 5000}, Full: Stall{Total: 4000}}},
		Tasks: &TaskUsage{Current: 3, Limit: 100},
		IO:    &IOUsage{Devices: []DeviceUsage{{8, 0, 1, 2, 3, 4}, {Major: 253, Minor: 1}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v %+v %+v %+v\nwant %+v %+v %+v %+v", got.CPU, got.Memory, got.Tasks, got.IO, want.CPU, want.Memory, want.Tasks, want.IO)
	}
	if ws := got.Memory.WorkingSet(); ws != 3000 {
		t.Errorf("working set %d", ws)
	}
}

func TestUsageV1Files(t *testing.T) {
	h := directoryHost(t, Legacy, []string{"cpu", "cpuacct", "memory", "pids", "blkio"}, map[string]string{
		"cpuacct.usage":                   "1500\n",
		"cpuacct.usage_user":              "1000\n",
		"cpuacct.usage_sys":               "500\n",
		"cpu.stat":                        "nr_periods 10\nnr_throttled 4\nthrottled_time 7000\n",
		"memory.usage_in_bytes":           "5000\n",
		"memory.max_usage_in_bytes":       "6000\n",
		"memory.failcnt":                  "9\n",
		"memory.limit_in_bytes":           "9223372036854771712\n",
		"memory.memsw.limit_in_bytes":     "9223372036854771712\n",
		"memory.kmem.usage_in_bytes":      "200\n",
		"memory.oom_control":              "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
		"memory.stat":                     "pgfault 70\npgmajfault 5\ntotal_cache 3000\ntotal_rss 1000\ntotal_mapped_file 300\ntotal_swap 40\ntotal_pgfault 77\ntotal_pgmajfault 7\ntotal_inactive_file 2000\ntotal_active_file 900\n",
		"pids.current":                    "3\n",
		"pids.max":                        "max\n",
		"blkio.throttle.io_serviced":      "8:0 Read 3\n8:0 Write 4\n8:0 Sync 7\n8:0 Async 0\n8:0 Discard 0\n8:0 Total 7\nTotal 7\n",
		"blkio.throttle.io_service_bytes": "8:0 Read 1\n8:0 Write 2\n8:0 Total 3\nTotal 3\n",
	})
	got, err := h.Usage("/c", Details)
	if err != nil {
		t.Fatal(err)
	}
	want := &Usage{
		At:  got.At,
		CPU: &CPUUsage{Total: 1500, User: 1000, System: 500, Periods: 10, ThrottledPeriods: 4, Throttled: 7000},
		Memory: &MemoryUsage{Usage: 5000, Limit: NoLimit, Anon: 1000, File: 3000, MappedFile: 300, Kernel: 200, InactiveFile: 2000, ActiveFile: 900,
			SwapUsage: 40, SwapLimit: NoLimit, SwapAccounted: true, PageFaults: 77, MajorFaults: 7, OwnPageFaults: 70, OwnMajorFaults: 5,
			MaxUsage: 6000, LimitHits: 9, OOMKillings: 3},
		Tasks: &TaskUsage{Current: 3, Limit: NoLimit},
		IO:    &IOUsage{Devices: []DeviceUsage{{8, 0, 1, 2, 3, 4}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v %+v %+v %+v\nwant %+v %+v %+v %+v", got.CPU, got.Memory, got.Tasks, got.IO, want.CPU, want.Memory, want.Tasks, want.IO)
	}
}

// A controller that is off leaves its field nil, a file that cannot be read is an error.
func TestUsageOfPartialCgroups(t *testing.T) {
	h := directoryHost(t, Unified, nil, map[string]string{"cpu.stat": "usage_usec 1\n"})
	u, err := h.Usage("/c", Details)
	if err != nil || u.CPU == nil || u.Memory != nil || u.Tasks != nil || u.IO != nil || u.CPU.Pressure != nil {
		t.Errorf("%+v, %v", u, err)
	}
	if err := os.Mkdir(filepath.Join(h.unified.Mountpoint, "c", "memory.current"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Usage("/c", Summary); !errors.Is(err, unix.EISDIR) {
		t.Errorf("error %v", err)
	}
}

func FuzzCounters(f *testing.F) {
	f.Add([]byte("some avg10=1.50 avg60=0.25 avg300=0.01 total=9\n"))
	f.Add([]byte("8:0 rbytes=1 wbytes=2 rios=3 wios=4\n8:0 Read 3\n"))
	f.Add([]byte("anon 1000\nfile\n 3 \nmax max\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if p := parsePressure(text); p != nil && (p.Some.Avg10 < 0 || p.Some.Avg10 > 100) {
			t.Errorf("%+v", p)
		}
		parseIOStat(text)
		(&IOUsage{}).addV1(text, func(dev *DeviceUsage) (read, write *uint64) { return &dev.ReadBytes, &dev.WriteBytes })
		eachPair(text, (&MemoryUsage{}).setV1)
		eachPair(text, (&MemoryUsage{}).setV2)
		eachPair(text, (&CPUUsage{}).setV2)
	})
}

func BenchmarkUsage(b *testing.B) {
	h := detect(b)
	c := newCgroup(b, h, testConfig())
	for name, d := range map[string]Detail{"summary": Summary, "details": Details} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				if _, err := c.Usage(d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
