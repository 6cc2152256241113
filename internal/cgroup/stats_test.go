// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"slices"
	"testing"

	v1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	v2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sardine-run/sardine/internal/testnode"
)

func TestStats(t *testing.T) {
	h := detect(t)
	cfg := testConfig()
	if slices.Contains(h.Controllers(), "memory") {
		cfg.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: pointer[int64](128 << 20)}}
	}
	c := newCgroup(t, h, cfg)
	spawn(t, c, "sleep")
	testnode.Eventually(t, "the process used the processor", func() bool { return cpuUsed(t, c) > 0 })
	m, err := c.Stats()
	if err != nil {
		t.Fatal(err)
	}
	switch m := m.(type) {
	case *v1.Metrics:
		if h.Mode() == Unified {
			t.Error("v1 type on a unified host")
		}
		if m.GetPids().GetCurrent() == 0 || m.GetMemory().GetUsage().GetUsage() == 0 || m.GetMemory().GetUsage().GetLimit() != 128<<20 {
			t.Errorf("pids %v, memory %v", m.GetPids(), m.GetMemory().GetUsage())
		}
	case *v2.Metrics:
		if h.Mode() != Unified {
			t.Errorf("v2 type on a %s host", h.Mode())
		}
		if slices.Contains(h.Controllers(), "memory") && (m.GetMemory().GetUsage() == 0 || m.GetMemory().GetUsageLimit() != 128<<20) {
			t.Errorf("memory %v", m.GetMemory())
		}
		if slices.Contains(h.Controllers(), "pids") && m.GetPids().GetCurrent() == 0 {
			t.Errorf("pids %v", m.GetPids())
		}
	default:
		t.Errorf("%T", m)
	}
}

func cpuUsed(t *testing.T, c *Cgroup) uint64 {
	t.Helper()
	m, err := c.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if m, ok := m.(*v1.Metrics); ok {
		return m.GetCPU().GetUsage().GetTotal()
	}
	return m.(*v2.Metrics).GetCPU().GetUsageUsec()
}
