// SPDX-License-Identifier: Apache-2.0

package features

import (
	"os"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// unified reports a host with cgroup v2 alone.
func unified() bool {
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	return err == nil
}

// visible mounts the container's cgroups where it can read them.
func visible(f func(*specs.LinuxResources)) change {
	return func(s *specs.Spec) {
		mounted("/sys/fs/cgroup", "cgroup", "cgroup", "ro", "nosuid", "noexec", "nodev")(s)
		if s.Linux.Resources == nil {
			s.Linux.Resources = &specs.LinuxResources{}
		}
		f(s.Linux.Resources)
		if unified() { // there the mount shows the namespace's root
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
		}
	}
}

// The limits are read where the container sees them; that they bite is shown where the
// machine has the controllers (the pids limit here, all of them in the virtual machine).
func TestResources(t *testing.T) {
	b := newBox(t)
	type limit struct {
		name       string
		set        func(*specs.LinuxResources)
		v1, v2     string // file below /sys/fs/cgroup
		want, also string // content on v1 and on v2, also is empty when it is the same
	}
	for _, l := range []limit{
		{"memory", func(r *specs.LinuxResources) { r.Memory = &specs.LinuxMemory{Limit: pointer(int64(64 << 20))} },
			"memory/memory.limit_in_bytes", "memory.max", "67108864", ""},
		{"pids", func(r *specs.LinuxResources) { r.Pids = &specs.LinuxPids{Limit: pointer(int64(33))} },
			"pids/pids.max", "pids.max", "33", ""},
		{"cpu shares", func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Shares: pointer(uint64(512))} },
			"cpu/cpu.shares", "cpu.weight", "512", "59"},
		{"cpu quota", func(r *specs.LinuxResources) {
			r.CPU = &specs.LinuxCPU{Quota: pointer(int64(25000)), Period: pointer(uint64(50000))}
		}, "cpu/cpu.cfs_quota_us", "cpu.max", "25000", "25000 50000"},
		{"cpuset", func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Cpus: "0"} },
			"cpuset/cpuset.cpus", "cpuset.cpus", "0", ""},
	} {
		t.Run(l.name, func(t *testing.T) {
			file, want := l.v1, l.want
			if unified() {
				file = l.v2
				if l.also != "" {
					want = l.also
				}
				if !hasController(l.v2) {
					t.Skipf("this host's cgroup2 has no controller for %s", l.v2)
				}
			}
			got, err := b.run(t, "cat /sys/fs/cgroup/"+file, visible(l.set))
			if err != nil || got.out != want {
				t.Errorf("%s: %q, %v; want %s", file, got.out, err, want)
			}
		})
	}
	t.Run("the pids limit bites", func(t *testing.T) {
		if unified() && !hasController("pids.max") {
			t.Skip("this host's cgroup2 has no pids controller")
		}
		got, err := b.run(t, "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done 2>&1; wait", visible(func(r *specs.LinuxResources) {
			r.Pids = &specs.LinuxPids{Limit: pointer(int64(4))}
		}))
		if err != nil || got.out != "/bin/sh: can't fork: Resource temporarily unavailable" && got.out != "sh: can't fork: Resource temporarily unavailable" {
			t.Errorf("%q, %v", got.out, err)
		}
	})
	b.refuse(t, []refusal{
		{"negative shares", func(s *specs.Spec) {
			s.Linux.Resources = &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "no-list"}}
		}, "cpu", nil},
		{"too little memory", func(s *specs.Spec) {
			s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: pointer(int64(4096)), Swap: pointer(int64(1))}}
		}, "emory", errdefs.IsInvalidArgument},
	})
}

func hasController(file string) bool {
	kind := map[string]string{"memory.max": "memory", "pids.max": "pids", "cpu.weight": "cpu", "cpu.max": "cpu", "cpuset.cpus": "cpuset"}[file]
	text, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
	return err == nil && containsWord(string(text), kind)
}

func containsWord(text, word string) bool {
	for _, w := range splitWords(text) {
		if w == word {
			return true
		}
	}
	return false
}

func TestDevices(t *testing.T) {
	b := newBox(t)
	all := pointer(int64(-1))
	node := func(path, kind string, major, minor int64) change {
		return func(s *specs.Spec) {
			s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{Path: path, Type: kind, Major: major, Minor: minor, FileMode: pointer(os.FileMode(0o640)), UID: pointer(uint32(3)), GID: pointer(uint32(4))})
		}
	}
	b.check(t, []inside{
		{"defaults", nothing(), "for d in null zero full random urandom tty; do test -c /dev/$d && printf $d; done", "nullzerofullrandomurandomtty"},
		{"null", nothing(), "echo x >/dev/null; head -c 3 /dev/zero | wc -c; echo x 2>/dev/null >/dev/full || echo full", "3\nfull"},
		{"a node", node("/dev/my/kmsg", "c", 1, 11), "stat -c '%F %t:%T %a %u:%g' /dev/my/kmsg", "character special file 1:b 640 3:4"},
		{"a fifo", node("/dev/pipe", "p", 0, 0), "stat -c %F /dev/pipe", "fifo"},
		{"replaced", node("/dev/zero", "c", 1, 3), "stat -c %T /dev/zero", "3"},
	})
	if unified() && os.Getenv("SARDINE_SLOW") == "" {
		t.Log("the eBPF device filter is proven in the virtual machine too")
	}
	b.check(t, []inside{
		{"denied", func(s *specs.Spec) {
			node("/dev/my", "c", 1, 11)(s)
			s.Linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}}
		}, "head -c 1 /dev/my 2>&1; echo x >/dev/null && echo null", "head: /dev/my: Operation not permitted\nnull"},
		{"allowed", func(s *specs.Spec) {
			node("/dev/my", "c", 1, 5)(s)
			s.Linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{
				{Allow: false, Access: "rwm"}, {Allow: true, Type: "c", Major: pointer(int64(1)), Minor: all, Access: "r"},
			}}
		}, "head -c 2 /dev/my | wc -c", "2"},
	})
}
