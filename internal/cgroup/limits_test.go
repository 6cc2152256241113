// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// limitTest says which file of which controller holds a resource of the spec.
type limitTest struct {
	name      string
	resources specs.LinuxResources
	v1        map[string]string // "controller/file" to content
	v2        map[string]string // file to content
}

func limitTests(t *testing.T) []limitTest {
	major, minor := blockDevice(t)
	throttle := []specs.LinuxThrottleDevice{throttleDevice(major, minor, 1<<20)}
	device := itoa(major) + ":" + itoa(minor)
	return []limitTest{
		{"memory", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: pointer[int64](64 << 20), Reservation: pointer[int64](32 << 20)}},
			map[string]string{"memory/memory.limit_in_bytes": "67108864", "memory/memory.soft_limit_in_bytes": "33554432"},
			map[string]string{"memory.max": "67108864", "memory.low": "33554432"}},
		{"swap", specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: pointer[int64](64 << 20), Swap: pointer[int64](96 << 20)}},
			map[string]string{"memory/memory.memsw.limit_in_bytes": "100663296"},
			map[string]string{"memory.swap.max": "33554432"}},
		{"swappiness", specs.LinuxResources{Memory: &specs.LinuxMemory{Swappiness: pointer[uint64](7)}},
			map[string]string{"memory/memory.swappiness": "7"}, nil},
		{"oom killer off", specs.LinuxResources{Memory: &specs.LinuxMemory{DisableOOMKiller: pointer(true)}},
			map[string]string{"memory/memory.oom_control": "oom_kill_disable 1\nunder_oom 0\noom_kill 0"}, nil},
		{"kernel memory is ignored", specs.LinuxResources{Memory: &specs.LinuxMemory{KernelTCP: pointer[int64](64 << 20)}},
			map[string]string{"memory/memory.limit_in_bytes": "9223372036854771712"}, map[string]string{"memory.max": "max"}},
		{"cpu quota", specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: pointer[int64](25000), Period: pointer[uint64](50000)}},
			map[string]string{"cpu/cpu.cfs_quota_us": "25000", "cpu/cpu.cfs_period_us": "50000"},
			map[string]string{"cpu.max": "25000 50000"}},
		{"cpu burst", specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: pointer[int64](25000), Period: pointer[uint64](50000), Burst: pointer[uint64](10000)}},
			map[string]string{"cpu/cpu.cfs_burst_us": "10000"}, map[string]string{"cpu.max.burst": "10000"}},
		{"cpu shares", specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: pointer[uint64](2048)}},
			map[string]string{"cpu/cpu.shares": "2048"}, map[string]string{"cpu.weight": "174"}},
		{"cpu idle", specs.LinuxResources{CPU: &specs.LinuxCPU{Idle: pointer[int64](1)}},
			map[string]string{"cpu/cpu.idle": "1"}, map[string]string{"cpu.idle": "1"}},
		{"cpuset", specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0", Mems: "0"}},
			map[string]string{"cpuset/cpuset.cpus": "0", "cpuset/cpuset.mems": "0"},
			map[string]string{"cpuset.cpus": "0", "cpuset.mems": "0"}},
		{"pids", specs.LinuxResources{Pids: &specs.LinuxPids{Limit: pointer[int64](100)}},
			map[string]string{"pids/pids.max": "100"}, map[string]string{"pids.max": "100"}},
		{"unlimited pids", specs.LinuxResources{Pids: &specs.LinuxPids{Limit: pointer[int64](-1)}},
			map[string]string{"pids/pids.max": "max"}, map[string]string{"pids.max": "max"}},
		{"block device throttle", specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: throttle, ThrottleWriteBpsDevice: throttle,
			ThrottleReadIOPSDevice: throttle, ThrottleWriteIOPSDevice: throttle}},
			map[string]string{"blkio/blkio.throttle.read_bps_device": device + " 1048576", "blkio/blkio.throttle.write_bps_device": device + " 1048576",
				"blkio/blkio.throttle.read_iops_device": device + " 1048576", "blkio/blkio.throttle.write_iops_device": device + " 1048576"},
			map[string]string{"io.max": device + " rbps=1048576 wbps=1048576 riops=1048576 wiops=1048576"}},
		{"block weight", specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: pointer[uint16](500)}},
			map[string]string{"blkio/blkio.bfq.weight": "500"}, map[string]string{"io.bfq.weight": "default 500"}},
		{"huge pages", specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4 << 20}}},
			map[string]string{"hugetlb/hugetlb.2MB.limit_in_bytes": "4194304"}, map[string]string{"hugetlb.2MB.max": "4194304"}},
		{"network class", specs.LinuxResources{Network: &specs.LinuxNetwork{ClassID: pointer[uint32](0x100001)}},
			map[string]string{"net_cls/net_cls.classid": "1048577"}, nil},
		{"network priority", specs.LinuxResources{Network: &specs.LinuxNetwork{Priorities: []specs.LinuxInterfacePriority{{Name: "lo", Priority: 3}}}},
			map[string]string{"net_prio/net_prio.ifpriomap": "lo 3"}, nil},
		{"unified", specs.LinuxResources{Unified: map[string]string{"memory.high": "33554432", "cgroup.max.depth": "3"}},
			nil, map[string]string{"memory.high": "33554432", "cgroup.max.depth": "3"}},
	}
}

func TestLimitsReachTheirFiles(t *testing.T) {
	h := detect(t)
	for _, test := range limitTests(t) {
		t.Run(test.name, func(t *testing.T) {
			needFiles(t, h, test)
			cfg := testConfig()
			cfg.Resources = &test.resources
			checkLimits(t, newCgroup(t, h, cfg), test)
		})
	}
}

// TestUpdateReachesTheSameFiles sets on a running container what Create set before.
func TestUpdateReachesTheSameFiles(t *testing.T) {
	h := detect(t)
	for _, test := range limitTests(t) {
		t.Run(test.name, func(t *testing.T) {
			needFiles(t, h, test)
			c := newCgroup(t, h, testConfig())
			if test.name != "oom killer off" { // needs a cgroup without children and is fine with tasks
				spawn(t, c, "sleep")
			}
			if err := c.Update(&test.resources); err != nil {
				t.Fatal(err)
			}
			checkLimits(t, c, test)
		})
	}
}

// asksForNothing names the tests whose resources every host can give.
var asksForNothing = []string{"kernel memory is ignored", "unlimited pids"}

// needFiles skips test when this kernel or mode has no such limit, after checking
// that New says so where it can know.
func needFiles(t *testing.T, h *Host, test limitTest) {
	t.Helper()
	wants := test.v1
	if h.Mode() == Unified {
		wants = test.v2
	}
	if len(wants) == 0 {
		t.Skipf("no such limit in %s mode", h.Mode())
	}
	for file := range wants {
		controller, _, _ := strings.Cut(strings.ReplaceAll(file, ".", "/"), "/")
		if controller == "cgroup" || slices.Contains(h.Controllers(), controller) {
			continue
		}
		_, err := h.New(Config{ID: "x", Resources: &test.resources})
		switch {
		case slices.Contains(asksForNothing, test.name):
			if err != nil {
				t.Errorf("New without the %s controller: %v, and it is not needed", controller, err)
			}
		case !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "linux.resources."):
			t.Errorf("New without the %s controller: %v, want ErrFailedPrecondition naming the field", controller, err)
		}
		t.Skipf("this host has no %s controller", controller)
	}
	if strings.HasPrefix(test.name, "block weight") {
		t.Skip("needs the bfq scheduler on some block device")
	}
}

func checkLimits(t *testing.T, c *Cgroup, test limitTest) {
	t.Helper()
	wants, paths := test.v1, c.Paths()
	if c.host.Mode() == Unified {
		wants = test.v2
	}
	for file, want := range wants {
		controller := ""
		if c.host.Mode() != Unified {
			controller, file, _ = strings.Cut(file, "/")
		}
		got := readFile(t, paths[controller], file)
		if file == "net_prio.ifpriomap" {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q does not contain %q", file, got, want)
			}
		} else if got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
}

func TestRefusedLimitNamesFileAndLeavesNothing(t *testing.T) {
	h := detect(t)
	if !slices.Contains(h.Controllers(), "cpuset") {
		t.Skip("needs the cpuset controller")
	}
	cfg := testConfig()
	cfg.Resources = &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "4000"}}
	c, err := h.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	err = c.Create()
	if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "cpuset.cpus") {
		t.Errorf("Create: %v, want ErrInvalidArgument naming cpuset.cpus", err)
	}
	for _, dir := range c.Paths() {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is left behind", dir)
		}
	}
}

func TestSmallPidsLimitHoldsAfterTighten(t *testing.T) {
	h := detect(t)
	if !slices.Contains(h.Controllers(), "pids") {
		t.Skip("needs the pids controller")
	}
	cfg := testConfig()
	cfg.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: pointer[int64](1)}}
	c := newCgroup(t, h, cfg)
	spawn(t, c, "sleep") // a Go program, which has several threads
	file := filepath.Join(c.Paths()["pids"], "pids.max")
	if h.Mode() == Unified {
		file = filepath.Join(c.Paths()[""], "pids.max")
	}
	if got := readFile(t, file); got != "64" {
		t.Errorf("while starting: %s", got)
	}
	if err := c.Tighten(); err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, file); got != "1" {
		t.Errorf("after Tighten: %s", got)
	}
	if err := c.Tighten(); err != nil {
		t.Errorf("second Tighten: %v", err)
	}
}

func TestUpdateChangesOnlyWhatIsGiven(t *testing.T) {
	h := detect(t)
	if !slices.Contains(h.Controllers(), "cpu") {
		t.Skip("needs the cpu controller")
	}
	cfg := testConfig()
	cfg.Resources = &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: pointer[int64](30000), Period: pointer[uint64](60000)}}
	c := newCgroup(t, h, cfg)
	if err := c.Update(&specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: pointer[int64](20000)}}); err != nil {
		t.Fatal(err)
	}
	got := cpuMax(t, c)
	if got != "20000 60000" {
		t.Errorf("quota and period: %s, want 20000 60000", got)
	}
	if err := c.Update(&specs.LinuxResources{CPU: &specs.LinuxCPU{Period: pointer[uint64](80000)}}); err != nil {
		t.Fatal(err)
	}
	if got := cpuMax(t, c); got != "20000 80000" {
		t.Errorf("quota and period: %s, want 20000 80000", got)
	}
	if err := c.Update(nil); err != nil {
		t.Errorf("Update with nothing: %v", err)
	}
}

func cpuMax(t *testing.T, c *Cgroup) string {
	t.Helper()
	if c.host.Mode() == Unified {
		return readFile(t, c.Paths()[""], "cpu.max")
	}
	dir := c.Paths()["cpu"]
	return readFile(t, dir, "cpu.cfs_quota_us") + " " + readFile(t, dir, "cpu.cfs_period_us")
}

// blockDevice returns a disk of this machine.
func blockDevice(t testing.TB) (major, minor int64) {
	t.Helper()
	disks, _ := filepath.Glob("/sys/block/*/dev")
	for _, disk := range disks {
		// Not the first loop device: it may have no disk behind it.
		if strings.Contains(disk, "/loop") || strings.Contains(disk, "/ram") {
			continue
		}
		first, second, _ := strings.Cut(readFile(t, disk), ":")
		return parseLimit(first), parseLimit(second)
	}
	return 7, 0
}

func throttleDevice(major, minor int64, rate uint64) (d specs.LinuxThrottleDevice) {
	d.Major, d.Minor, d.Rate = major, minor, rate
	return d
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
