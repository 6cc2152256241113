// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// paperHost is a host of the given mode that exists on paper only: New and Validate
// must not need more.
func paperHost(mode Mode) *Host {
	h := &Host{mode: mode, unified: &hierarchy{Mount: Mount{Mountpoint: "/sys/fs/cgroup"}}}
	names := []string{"cpu", "cpuset", "memory", "pids", "blkio", "io", "hugetlb", "net_cls", "net_prio", "rdma", "devices"}
	if mode == Unified {
		h.controllers = names
		return h
	}
	for _, name := range names {
		h.v1 = append(h.v1, &hierarchy{Mount: Mount{Controllers: []string{name}, Mountpoint: "/sys/fs/cgroup/" + name}})
	}
	return h
}

func TestPaths(t *testing.T) {
	long := strings.Repeat("x", 256)
	for _, test := range []struct {
		driver     Driver
		path, want string // want "" for a refusal
	}{
		{"", "", "/sardine/id"},
		{Cgroupfs, "/a/b", "/a/b"},
		{Cgroupfs, "/a//b/./c/", "/a/b/c"},
		{Cgroupfs, "a/b", "/sardine/a/b"},
		{Cgroupfs, "/a:b:c", "/a:b:c"},
		{Cgroupfs, "/", ""},
		{Cgroupfs, "/.", ""},
		{Cgroupfs, "/../etc", ""},
		{Cgroupfs, "../../etc", ""},
		{Cgroupfs, "/a/../b", ""},
		{Cgroupfs, "/a\nb", ""},
		{Cgroupfs, "/a\x00b", ""},
		{Cgroupfs, "/" + long, ""},
		{Cgroupfs, "slice:prefix:name", ""},
		{Systemd, "", "/system.slice/sardine-id.scope"},
		{Systemd, "kubepods-burstable-pod1.slice:cri-containerd:abc", "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-abc.scope"},
		{Systemd, ":docker:abc", "/system.slice/docker-abc.scope"},
		{Systemd, "-.slice:p:n", "/p-n.scope"},
		{Systemd, "a.slice:p:a-b.slice", "/a.slice/a-b.slice"},
		{Systemd, "/a/b", ""},
		{Systemd, "a.slice:p", ""},
		{Systemd, "a.slice:p:n:m", ""},
		{Systemd, "a.slice:p:", ""},
		{Systemd, "a.slice:p:../x", ""},
		{Systemd, "a--b.slice:p:n", ""},
		{Systemd, "a/b.slice:p:n", ""},
		{Systemd, "a.service:p:n", ""},
		{"other", "/a", ""},
	} {
		c, err := paperHost(Hybrid).New(Config{ID: "id", Path: test.path, Driver: test.driver})
		switch {
		case test.want == "" && !errdefs.IsInvalidArgument(err):
			t.Errorf("%s %q: %v, want ErrInvalidArgument", test.driver, test.path, err)
		case test.want != "" && err != nil:
			t.Errorf("%s %q: %v", test.driver, test.path, err)
		case test.want != "" && c.Path() != test.want:
			t.Errorf("%s %q: %s, want %s", test.driver, test.path, c.Path(), test.want)
		}
	}
}

func TestRecordsAreOpenedWithCare(t *testing.T) {
	h := paperHost(Unified)
	c, err := h.New(Config{ID: "id", Path: "a.slice:p:n", Driver: Systemd})
	if err != nil {
		t.Fatal(err)
	}
	again, err := h.Open(c.Record())
	if err != nil || again.Path() != c.Path() || *again.unit != *c.unit {
		t.Errorf("%+v, %v", again, err)
	}
	if !c.NeedsAttach() || again.NeedsAttach() {
		t.Error("NeedsAttach: want it before the start and not after Open")
	}
	for _, path := range []string{"", "..", "a/../.."} {
		if _, err := h.Open(Record{Mode: Unified, Path: path}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("Open of %q: %v", path, err)
		}
	}
}

func TestMistakesNameTheirField(t *testing.T) {
	memory := func(m specs.LinuxMemory) specs.LinuxResources { return specs.LinuxResources{Memory: &m} }
	cpu := func(c specs.LinuxCPU) specs.LinuxResources { return specs.LinuxResources{CPU: &c} }
	unified := func(key string) specs.LinuxResources {
		return specs.LinuxResources{Unified: map[string]string{key: "1"}}
	}
	for _, test := range []struct {
		mode      Mode
		field     string
		resources specs.LinuxResources
	}{
		{Hybrid, "memory.limit", memory(specs.LinuxMemory{Limit: pointer[int64](4096)})},
		{Hybrid, "memory.limit", memory(specs.LinuxMemory{Limit: pointer[int64](-2)})},
		{Hybrid, "memory.reservation", memory(specs.LinuxMemory{Reservation: pointer[int64](-2)})},
		{Hybrid, "memory.swap", memory(specs.LinuxMemory{Swap: pointer[int64](-2)})},
		{Unified, "memory.swap", memory(specs.LinuxMemory{Limit: pointer[int64](2 << 20), Swap: pointer[int64](1 << 20)})},
		{Hybrid, "memory.swappiness", memory(specs.LinuxMemory{Swappiness: pointer[uint64](101)})},
		{Hybrid, "cpu.shares", cpu(specs.LinuxCPU{Shares: pointer[uint64](1)})},
		{Hybrid, "cpu.shares", cpu(specs.LinuxCPU{Shares: pointer[uint64](262145)})},
		{Hybrid, "cpu.period", cpu(specs.LinuxCPU{Period: pointer[uint64](999)})},
		{Unified, "cpu.period", cpu(specs.LinuxCPU{Period: pointer[uint64](1000001)})},
		{Hybrid, "cpu.quota", cpu(specs.LinuxCPU{Quota: pointer[int64](999)})},
		{Hybrid, "cpu.quota", cpu(specs.LinuxCPU{Quota: pointer[int64](-2)})},
		{Hybrid, "cpu.burst", cpu(specs.LinuxCPU{Quota: pointer[int64](1000), Burst: pointer[uint64](1001)})},
		{Hybrid, "cpu.idle", cpu(specs.LinuxCPU{Idle: pointer[int64](2)})},
		{Hybrid, "cpu.realtimeRuntime", cpu(specs.LinuxCPU{RealtimeRuntime: pointer[int64](-2)})},
		{Hybrid, "cpu.realtimeRuntime", cpu(specs.LinuxCPU{RealtimeRuntime: pointer[int64](2), RealtimePeriod: pointer[uint64](1)})},
		{Unified, "cpu.realtimePeriod", cpu(specs.LinuxCPU{RealtimePeriod: pointer[uint64](1000)})},
		{Hybrid, "cpu.cpus", cpu(specs.LinuxCPU{Cpus: "0-"})},
		{Hybrid, "cpu.mems", cpu(specs.LinuxCPU{Mems: "1,a"})},
		{Hybrid, "pids.limit", specs.LinuxResources{Pids: &specs.LinuxPids{Limit: pointer[int64](-2)}}},
		{Hybrid, "blockIO.weight", specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: pointer[uint16](9)}}},
		{Hybrid, "blockIO.leafWeight", specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{LeafWeight: pointer[uint16](1001)}}},
		{Hybrid, "blockIO.weightDevice[0]", specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{WeightDevice: []specs.LinuxWeightDevice{{}}}}},
		{Hybrid, "hugepageLimits[0].pageSize", specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "3MB"}}}},
		{Hybrid, "network.priorities[0]", specs.LinuxResources{Network: &specs.LinuxNetwork{Priorities: []specs.LinuxInterfacePriority{{}}}}},
		{Hybrid, "rdma", specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{"": {}}}},
		{Unified, "unified[\"nonsense\"]", unified("nonsense")},
		{Unified, "unified[\"nope.max\"]", unified("nope.max")},
		{Unified, "unified[\"memory.\"]", unified("memory.")},
		{Unified, "unified[\"memory./../x\"]", unified("memory./../x")},
		{Unified, "unified[\"cgroup.procs\"]", unified("cgroup.procs")},
	} {
		err := paperHost(test.mode).Validate(&test.resources)
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "linux.resources."+test.field+":") {
			t.Errorf("%s: %v, want ErrInvalidArgument naming it", test.field, err)
		}
	}
}

func TestWhatTheHostLacksIsNamed(t *testing.T) {
	for _, test := range []struct {
		mode      Mode
		field     string
		resources specs.LinuxResources
	}{
		{Hybrid, "unified", specs.LinuxResources{Unified: map[string]string{"memory.high": "1"}}},
		{Unified, "unified[\"misc.max\"]", specs.LinuxResources{Unified: map[string]string{"misc.max": "1"}}},
	} {
		err := paperHost(test.mode).Validate(&test.resources)
		if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "linux.resources."+test.field+":") {
			t.Errorf("%s: %v, want ErrFailedPrecondition naming it", test.field, err)
		}
	}
	bare := &Host{mode: Unified}
	for field, r := range map[string]specs.LinuxResources{
		"memory":     {Memory: &specs.LinuxMemory{Limit: pointer[int64](1 << 30)}},
		"cpu":        {CPU: &specs.LinuxCPU{Shares: pointer[uint64](2)}},
		"cpu.cpus":   {CPU: &specs.LinuxCPU{Cpus: "0"}},
		"pids.limit": {Pids: &specs.LinuxPids{Limit: pointer[int64](0)}},
		"blockIO":    {BlockIO: &specs.LinuxBlockIO{Weight: pointer[uint16](10)}},
	} {
		if err := bare.Validate(&r); !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "linux.resources."+field+":") {
			t.Errorf("%s: %v, want ErrFailedPrecondition naming it", field, err)
		}
	}
	if err := bare.Validate(nil); err != nil {
		t.Errorf("no resources: %v", err)
	}
}

// TestTranslation covers what has no controller mounted on the machines tests run on.
func TestTranslation(t *testing.T) {
	out, err := paperHost(Hybrid).translate(&specs.LinuxResources{
		Network: &specs.LinuxNetwork{ClassID: pointer[uint32](7), Priorities: []specs.LinuxInterfacePriority{{Name: "eth0", Priority: 3}}},
		Rdma:    map[string]specs.LinuxRdma{"mlx5_0": {HcaHandles: pointer[uint32](2)}},
		CPU:     &specs.LinuxCPU{RealtimePeriod: pointer[uint64](1000000), RealtimeRuntime: pointer[int64](950000)},
		BlockIO: &specs.LinuxBlockIO{Weight: pointer[uint16](500), LeafWeight: pointer[uint16](10),
			WeightDevice: []specs.LinuxWeightDevice{{Weight: pointer[uint16](300)}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if out.NetClsClassid != 7 || out.NetPrioIfpriomap[0].CgroupString() != "eth0 3" {
		t.Errorf("network: %d, %v", out.NetClsClassid, out.NetPrioIfpriomap[0])
	}
	if out.Rdma["mlx5_0"].HcaObjects != nil || *out.Rdma["mlx5_0"].HcaHandles != 2 {
		t.Errorf("rdma: %v", out.Rdma)
	}
	if out.CpuRtPeriod != 1000000 || out.CpuRtRuntime != 950000 {
		t.Errorf("realtime: %d of %d", out.CpuRtRuntime, out.CpuRtPeriod)
	}
	if out.BlkioWeight != 500 || out.BlkioLeafWeight != 10 || out.BlkioWeightDevice[0].WeightString() != "0:0 300" {
		t.Errorf("block weights: %d, %d, %v", out.BlkioWeight, out.BlkioLeafWeight, out.BlkioWeightDevice[0])
	}
	if !limits(out) || limits(&cgroups.Resources{Devices: defaultRules()}) {
		t.Error("limits: want true with these and false with device rules only")
	}
}

func TestSharesBecomeWeight(t *testing.T) {
	for shares, weight := range map[uint64]uint64{2: 1, 1024: 100, 262144: 10000, 1: 1, 1 << 20: 10000} {
		out, err := paperHost(Unified).translate(&specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: &shares}})
		if err != nil || out.CpuWeight != weight || out.CpuShares != 0 {
			t.Errorf("%d shares: weight %d, shares %d, %v, want weight %d", shares, out.CpuWeight, out.CpuShares, err, weight)
		}
	}
}

func TestCheckList(t *testing.T) {
	for list, ok := range map[string]bool{
		"": true, "0": true, "0-3": true, "0,2,4-7": true, "0-31:2/4": true, "0-1\n": true,
		"-": false, "1-": false, "-1": false, "3-1": false, "a": false, "0,,1": false, "0:1/2": false, "0-3:2": false, "0-3:3/2": false, "0x1": false, "70000": false,
	} {
		if err := checkList(list); (err == nil) != ok {
			t.Errorf("%q: %v", list, err)
		}
	}
}

func FuzzCheckList(f *testing.F) {
	for _, seed := range []string{"", "0-3,7", "0-31:2/4", "1-0", ",", "-"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		if checkList(list) == nil && strings.Trim(strings.TrimSpace(list), "0123456789,-:/") != "" {
			t.Errorf("%q accepted", list)
		}
	})
}

func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/a/b", "a", "..", "/../..", "s.slice:p:n", "a//b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		for _, driver := range []Driver{Cgroupfs, Systemd} {
			c, err := paperHost(Unified).New(Config{ID: "id", Path: path, Driver: driver})
			if err != nil {
				continue
			}
			for _, name := range strings.Split(c.path, "/") {
				if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "\x00\n") {
					t.Errorf("%s %q gave %q", driver, path, c.path)
				}
			}
		}
	})
}
