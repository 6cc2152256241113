// SPDX-License-Identifier: Apache-2.0

//go:build vm

package guest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	eventtypes "github.com/containerd/containerd/api/events"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sardine-run/sardine/internal/testnode"
)

const (
	diskMajor, diskMinor = 254, 0 // virtio disk a: the guest's root
	readBPS              = 1 << 20
)

// limits sets one of each kind of resource.
func limits(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
	memory, reservation, pids := int64(64<<20), int64(32<<20), int64(20)
	shares, quota, period, weight := uint64(512), int64(20000), uint64(100000), uint16(200)
	disk := specs.LinuxThrottleDevice{Rate: readBPS}
	disk.Major, disk.Minor = diskMajor, diskMinor
	r := s.Linux.Resources
	r.Memory = &specs.LinuxMemory{Limit: &memory, Swap: &memory, Reservation: &reservation}
	r.Pids = &specs.LinuxPids{Limit: &pids}
	r.CPU = &specs.LinuxCPU{Shares: &shares, Quota: &quota, Period: &period, Cpus: "1", Mems: "0"}
	r.BlockIO = &specs.LinuxBlockIO{Weight: &weight, ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{disk}}
	return nil
}

// wantLimits compares the kernel's view with limits, and systemd's where it has one.
func (b *box) wantLimits() {
	b.t.Helper()
	b.wantCgroup("memory.max", "67108864")
	b.wantCgroup("memory.low", "33554432")
	b.wantCgroup("pids.max", "20")
	b.wantCgroup("cpu.max", "20000 100000")
	b.wantCgroup("cpuset.cpus", "1")
	b.wantCgroup("cpuset.mems", "0")
	b.wantCgroup("io.max", fmt.Sprintf("%d:%d rbps=%d wbps=max riops=max wiops=max", diskMajor, diskMinor, readBPS))
	if weight := b.cgroup("cpu.weight"); weight == "100" || weight == "0" {
		b.t.Errorf("cpu.weight is %s, want what 512 shares make", weight)
	}
	if b.scope == nil {
		return
	}
	for name, want := range map[string]string{
		"MemoryMax": "67108864", "MemoryLow": "33554432", "TasksMax": "20", "CPUQuotaPerSecUSec": "200ms",
		"AllowedCPUs": "1", "AllowedMemoryNodes": "0", "ActiveState": "active", "Slice": "guest.slice", "Delegate": "yes",
	} {
		if got := property(b.t, b.scope(b.id), name); got != want {
			b.t.Errorf("systemd: %s is %q, want %q", name, got, want)
		}
	}
}

func TestLimitsAreSet(t *testing.T) {
	onEachDriver(t, func(t *testing.T, drv driver) {
		b := startDaemon(t).run(drv, "sleep 1000", limits)
		b.wantLimits()
		if procs := strings.Fields(b.cgroup("cgroup.procs")); len(procs) != 1 || procs[0] != fmt.Sprint(b.pid) {
			t.Errorf("processes %v in the cgroup, want %d", procs, b.pid)
		}
	})
}

func TestPidsLimitRefusesForks(t *testing.T) {
	onEachDriver(t, func(t *testing.T, drv driver) {
		b := startDaemon(t).run(drv, `(for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done); exec sleep 1000`, oci.WithPidsLimit(5))
		b.says("can't fork")
		if refused := b.counter("pids.events", "max"); refused < 1 {
			t.Errorf("pids.events counts %d refused forks", refused)
		}
	})
}

func TestMemoryLimitKills(t *testing.T) {
	onEachDriver(t, func(t *testing.T, drv driver) {
		oom := startDaemon(t).watchOOM()
		b := oom.run(drv, "exec tail /dev/zero", oci.WithMemoryLimit(16<<20), oci.WithMemorySwap(16<<20))
		b.wantStatus(128 + 9)
		// systemd removes the scope with its last process. Whether the kernel tells of
		// the kill before it forgets the cgroup is a race, for every runtime.
		if drv.scope == nil {
			oom.wait(b)
		}
	})
}

// A process may be killed for memory without the container ending; it is told
// about all the same.
func TestMemoryLimitKillsChild(t *testing.T) {
	onEachDriver(t, func(t *testing.T, drv driver) {
		oom := startDaemon(t).watchOOM()
		b := oom.run(drv, "tail /dev/zero; echo child gone; sleep 1000", oci.WithMemoryLimit(16<<20), oci.WithMemorySwap(16<<20))
		b.says("child gone")
		b.wantState(containerd.Running)
		if n := b.counter("memory.events", "oom_kill"); n != 1 {
			t.Errorf("%d OOM kills, want 1", n)
		}
		oom.wait(b)
	})
}

// oomWatch is a subscription to one kind of event.
type oomWatch struct {
	*daemon
	events <-chan *events.Envelope
	errs   <-chan error
}

// trial is the topic of events that show that a subscriber hears.
const trial = "/trial"

// watchOOM returns when the daemon sends events: it has not read the request yet when the client has sent it.
func (d *daemon) watchOOM() oomWatch {
	d.t.Helper()
	events, errs := d.client.Subscribe(d.ctx, `topic=="/tasks/oom"`, fmt.Sprintf("topic==%q", trial))
	testnode.Eventually(d.t, "events arrive", func() bool {
		if err := d.client.EventService().Publish(d.ctx, trial, &eventtypes.NamespaceDelete{Name: namespace}); err != nil {
			d.t.Fatal(err)
		}
		select {
		case <-events:
			return true
		default:
			return false
		}
	})
	return oomWatch{d, events, errs}
}

// next is the next event but for trials, nil if there is none.
func (w oomWatch) next() *events.Envelope {
	w.t.Helper()
	patience := time.After(testnode.Patience)
	for {
		select {
		case envelope := <-w.events:
			if envelope.Topic != trial {
				return envelope
			}
		case err := <-w.errs:
			w.t.Errorf("events: %v", err)
			return nil
		case <-patience:
			w.t.Error("no /tasks/oom event")
			return nil
		}
	}
}

// wait fails the test unless the next event is about b.
func (w oomWatch) wait(b *box) {
	w.t.Helper()
	envelope := w.next()
	if envelope == nil {
		return
	}
	event, err := typeurl.UnmarshalAny(envelope.Event)
	if err != nil {
		w.t.Fatal(err)
	}
	if oom, ok := event.(*eventtypes.TaskOOM); !ok || oom.ContainerID != b.id || envelope.Namespace != namespace {
		w.t.Errorf("event %v in namespace %s, want the OOM of %s in %s", event, envelope.Namespace, b.id, namespace)
	}
}

func TestCPUQuotaThrottles(t *testing.T) {
	onEachDriver(t, func(t *testing.T, drv driver) {
		b := startDaemon(t).run(drv, "echo on; while :; do :; done", oci.WithCPUCFS(20000, 100000))
		b.says("on")
		// A processor of the guest that stands still is taken for used: the kernel makes up for that, but later.
		testnode.Eventually(t, "three seconds in which it uses the fifth of a processor that it may", func() bool {
			began, used := time.Now(), b.counter("cpu.stat", "usage_usec")
			time.Sleep(3 * time.Second)
			share := float64(b.counter("cpu.stat", "usage_usec")-used) / float64(time.Since(began).Microseconds())
			t.Logf("used %.0f %% of a processor, quota is 20 %%", share*100)
			return share <= 0.3
		})
		if throttled := b.counter("cpu.stat", "nr_throttled"); throttled == 0 {
			t.Error("never throttled")
		}
	})
}

func TestUpdateChangesLimits(t *testing.T) {
	onEachDriver(t, func(t *testing.T, drv driver) {
		b := startDaemon(t).run(drv, "sleep 1000", limits, devShm)
		memory, pids, quota, period := int64(128<<20), int64(40), int64(50000), uint64(100000)
		if err := b.task.Update(b.ctx, containerd.WithResources(&specs.LinuxResources{
			Memory: &specs.LinuxMemory{Limit: &memory, Swap: &memory},
			Pids:   &specs.LinuxPids{Limit: &pids},
			CPU:    &specs.LinuxCPU{Quota: &quota, Period: &period, Cpus: "0-1"},
		})); err != nil {
			t.Fatal(err)
		}
		b.wantCgroup("memory.max", "134217728")
		b.wantCgroup("pids.max", "40")
		b.wantCgroup("cpu.max", "50000 100000")
		b.wantCgroup("cpuset.cpus", "0-1")
		b.wantCgroup("io.max", fmt.Sprintf("%d:%d rbps=%d wbps=max riops=max wiops=max", diskMajor, diskMinor, readBPS))
		if drv.scope != nil {
			for name, want := range map[string]string{"MemoryMax": "134217728", "TasksMax": "40", "CPUQuotaPerSecUSec": "500ms"} {
				if got := property(t, drv.scope(b.id), name); got != want {
					t.Errorf("systemd: %s is %q, want %q", name, got, want)
				}
			}
		}
		if status, _ := b.exec(openFuse); status == 0 {
			t.Error("an update opened the device filter")
		}
	})
}
