// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"testing"
	"time"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/sardine-run/sardine/internal/kernel"
)

func pointer[T any](v T) *T { return &v }

// typicalResources is what a kubelet sends for an ordinary container.
func typicalResources() *specs.LinuxResources {
	return &specs.LinuxResources{
		Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}},
		Memory:  &specs.LinuxMemory{Limit: pointer[int64](256 << 20)},
		CPU:     &specs.LinuxCPU{Shares: pointer[uint64](512), Quota: pointer[int64](50000), Period: pointer[uint64](100000)},
		Pids:    &specs.LinuxPids{Limit: pointer[int64](1000)},
	}
}

// BenchmarkLife is what a container's start and end cost in cgroups: New, Create,
// Enter on its own thread, Delete. The child's fork is not in it.
func BenchmarkLife(b *testing.B) {
	h := detect(b)
	for name, resources := range map[string]*specs.LinuxResources{"unlimited": nil, "typical": typicalResources()} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				life(b, h, resources)
			}
		})
	}
}

func life(b *testing.B, h *Host, resources *specs.LinuxResources) {
	cfg := testConfig()
	cfg.Resources = resources
	c, err := h.New(cfg)
	if err == nil {
		err = c.Create()
	}
	if err == nil {
		err = entered(c)
	}
	if err == nil {
		err = c.Delete(context.Background())
	}
	if err != nil {
		b.Fatal(err)
	}
}

func entered(c *Cgroup) (err error) {
	kernel.OnThread(func() { err = c.Enter() })
	return err
}

// BenchmarkSteps times each step alone.
func BenchmarkSteps(b *testing.B) {
	h := detect(b)
	for _, measured := range []string{"New", "Create", "Begin", "Enter", "Delete"} {
		b.Run(measured, func(b *testing.B) {
			b.ReportAllocs()
			kernel.OnThread(func() { steps(b, h, measured) })
		})
	}
}

func steps(b *testing.B, h *Host, measured string) {
	step := func(name string, f func() error) {
		if name == measured {
			b.StartTimer()
			defer b.StopTimer()
		}
		if err := f(); err != nil {
			b.Error(err)
		}
	}
	b.StopTimer()
	for range b.N {
		var c *Cgroup
		step("New", func() (err error) { c, err = h.New(testConfig()); return err })
		step("Create", c.Create)
		var birth *Birth
		step("Begin", func() (err error) { birth, err = c.Begin(0); return err })
		step("Enter", birth.Enter)
		birth.End()
		for _, hier := range h.v1 {
			if err := hier.write("tasks", "0"); err != nil {
				b.Error(err)
			}
		}
		step("Delete", func() error { return c.Delete(context.Background()) })
	}
}

// BenchmarkJoin compares two ways into the v1 cgroups: a thread that enters before the
// clone, and the pid written to cgroup.procs after it. The pause lets the kernel's
// threadgroup lock fall back to its fast state, as it is on a node between two starts:
// only then does a writer of cgroup.procs pay for an RCU grace period.
func BenchmarkJoin(b *testing.B) {
	h := detect(b)
	c := newCgroup(b, h, testConfig())
	b.Run("enter", func(b *testing.B) {
		for range b.N {
			b.StopTimer()
			time.Sleep(50 * time.Millisecond)
			b.StartTimer()
			if err := entered(c); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("procs", func(b *testing.B) {
		outside := newCgroup(b, h, testConfig())
		for range b.N {
			b.StopTimer()
			p, err := born(outside, "sleep")
			if err != nil {
				b.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)
			b.StartTimer()
			err = c.Attach(p.Pid)
			b.StopTimer()
			_ = p.Kill()
			_, _ = p.Wait()
			if err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
}

// BenchmarkOpencontainers is the same life with their manager, joining by pid.
func BenchmarkOpencontainers(b *testing.B) {
	h := detect(b)
	if h.Mode() == Unified {
		b.Skip("compares v1 managers")
	}
	b.ReportAllocs()
	for range b.N {
		cfg := testConfig()
		rules, _ := deviceRules(nil)
		cg := &cgroups.Cgroup{Path: cfg.Path, Resources: &cgroups.Resources{Devices: rules}}
		m, err := fs.NewManager(cg, nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := m.Apply(-1); err != nil {
			b.Fatal(err)
		}
		if err := m.Set(cg.Resources); err != nil {
			b.Fatal(err)
		}
		if err := m.Destroy(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStats(b *testing.B) {
	h := detect(b)
	c := newCgroup(b, h, testConfig())
	b.ReportAllocs()
	for range b.N {
		if _, err := c.Stats(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkKill(b *testing.B) {
	h := detect(b)
	c := newCgroup(b, h, testConfig())
	for range b.N {
		b.StopTimer()
		p, err := born(c, "sleep")
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := c.Kill(); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		_, _ = p.Wait()
		b.StartTimer()
	}
}
