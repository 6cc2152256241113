// SPDX-License-Identifier: Apache-2.0

package podstats

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/cgroup"
	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/testnode"
)

func TestContainer(t *testing.T) {
	h := detect(t)
	r := &Reader{Cgroups: h}
	c := newContainer(t, spawn(t, newCgroup(t, h, testParent), "burn"), 5)
	first, err := r.Container(c)
	if err != nil {
		t.Fatal(err)
	}
	if first.Attributes.Id != c.Attributes.Id || first.Cpu == nil || first.Cpu.UsageNanoCores != nil || first.Cpu.Timestamp <= 0 {
		t.Errorf("%+v", first)
	}
	time.Sleep(minWindow + 100*time.Millisecond)
	second, err := r.Container(c)
	if err != nil {
		t.Fatal(err)
	}
	used, window := second.Cpu.UsageCoreNanoSeconds.Value-first.Cpu.UsageCoreNanoSeconds.Value, second.Cpu.Timestamp-first.Cpu.Timestamp
	want := float64(used) / float64(window) * 1e9 // however much of a processor others leave to it
	if cores := float64(second.Cpu.GetUsageNanoCores().GetValue()); cores < 0.9*want || cores > 1.1*want || want <= 0 {
		t.Errorf("a process that computes uses %g billionths of a core, want %g", cores, want)
	}
	if second.Cpu.UsageCoreNanoSeconds.Value <= first.Cpu.UsageCoreNanoSeconds.Value {
		t.Errorf("%v and then %v", first.Cpu, second.Cpu)
	}
	checkMemory(t, h, second)
	if w := second.WritableLayer; w.Timestamp <= 0 || w.FsId.Mountpoint != "/" || w.InodesUsed.Value != 8 || w.UsedBytes.Value < 5*4096 {
		t.Errorf("writable layer %+v", w)
	}
	if _, err := os.Stat("/proc/pressure/cpu"); err == nil && h.Mode() != cgroup.Legacy && (second.Cpu.Psi == nil || second.Io == nil) {
		t.Error("the kernel knows the pressure, the report does not")
	}
}

func checkMemory(t *testing.T, h *cgroup.Host, s *runtime.ContainerStats) {
	t.Helper()
	if !slices.Contains(h.Controllers(), "memory") {
		if s.Memory != nil {
			t.Errorf("memory without a controller: %v", s.Memory)
		}
		return
	}
	m := s.Memory
	if m.UsageBytes.Value == 0 || m.WorkingSetBytes.Value > m.UsageBytes.Value || m.RssBytes.Value == 0 || m.PageFaults.Value == 0 {
		t.Errorf("memory %+v", m)
	}
	if got := m.AvailableBytes.GetValue() + m.WorkingSetBytes.Value; got != 64<<20 {
		t.Errorf("available and working set are %d, not the limit", got)
	}
}

// broken fails as a cgroup file system would that is being unmounted.
type broken struct{ *process }

func (broken) Usage(cgroup.Detail) (*cgroup.Usage, error) { return nil, unix.EIO }

func TestTroubleWithOneContainerIsItsOwn(t *testing.T) {
	h := detect(t)
	r := &Reader{Cgroups: h}
	good := newContainer(t, spawn(t, newCgroup(t, h, testParent), "sleep"), 1)
	bad := newContainer(t, broken{good.Process.(*process)}, 1)
	stopped := newContainer(t, nil, 1)
	gone := newContainer(t, &process{Cgroup: deleted(t, h)}, 1)
	gone.Layer = filepath.Join(t.TempDir(), "missing")
	list := r.Containers(context.Background(), []*Container{bad, good, stopped, gone})
	for i, want := range []bool{false, true, false, false} {
		if (list[i].Cpu != nil) != want || list[i].Attributes == nil || list[i].WritableLayer == nil {
			t.Errorf("%d: %+v", i, list[i])
		}
	}
	if _, err := r.Container(bad); !errors.Is(err, unix.EIO) {
		t.Errorf("error %v", err)
	}
	pods := r.Pods(context.Background(), []*Pod{newPod("", bad, good), newPod("/no/such", good)})
	for _, p := range pods {
		if p.Linux.Cpu == nil || p.Linux.Process.ProcessCount.Value == 0 {
			t.Errorf("%+v", p)
		}
	}
	metrics := r.Metrics(context.Background(), []*Pod{newPod("", bad, good, stopped, gone)})
	if len(metrics[0].ContainerMetrics) != 3 {
		t.Errorf("metrics of %d containers", len(metrics[0].ContainerMetrics))
	}
}

func deleted(t *testing.T, h *cgroup.Host) *cgroup.Cgroup {
	c, err := h.New(cgroup.Config{ID: "never", Path: testParent + "/never"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPodIsMoreThanItsContainers(t *testing.T) {
	h := detect(t)
	r := &Reader{Cgroups: h}
	parent := testParent + "/pod"
	one := newContainer(t, spawn(t, newCgroup(t, h, parent), "burn"), 0)
	spawn(t, newCgroup(t, h, parent), "burn") // is in the pod's cgroup, and in no container
	s := r.Pod(context.Background(), newPod(parent, one))
	// The two are not read at the same instant: the container may have gone on meanwhile, but not by as much as the other has used.
	for end := time.Now().Add(time.Minute); s.Linux.Cpu.UsageCoreNanoSeconds.Value <= s.Linux.Containers[0].Cpu.UsageCoreNanoSeconds.Value && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
		s = r.Pod(context.Background(), newPod(parent, one))
	}
	if s.Linux.Cpu.UsageCoreNanoSeconds.Value <= s.Linux.Containers[0].Cpu.UsageCoreNanoSeconds.Value {
		t.Errorf("pod %v, container %v", s.Linux.Cpu, s.Linux.Containers[0].Cpu)
	}
	if n := s.Linux.Process.ProcessCount.Value; n != 1 {
		t.Errorf("%d processes", n)
	}
	if s.Linux.Network != nil {
		t.Errorf("the host's network is the pod's: %v", s.Linux.Network)
	}
	sum := r.Pod(context.Background(), newPod("", one, one))
	if a, b := sum.Linux.Cpu.UsageCoreNanoSeconds.Value, sum.Linux.Containers[0].Cpu.UsageCoreNanoSeconds.Value; a < 2*b {
		t.Errorf("two containers used %d, one of them %d", a, b)
	}
}

// newNetNS makes a network namespace with lo and, through TUN, interfaces of the given names.
func newNetNS(t *testing.T) *os.File {
	t.Helper()
	testnode.NeedRoot(t)
	var netns *os.File
	var err error
	kernel.OnThread(func() {
		if err = kernel.Unshare(unix.CLONE_NEWNET, "network"); err == nil {
			netns, err = os.Open("/proc/thread-self/ns/net")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { netns.Close() })
	return netns
}

func TestNetworkOfPods(t *testing.T) {
	h := detect(t)
	r := &Reader{Cgroups: h}
	first, second, closed := newPod(""), newPod(""), newPod("")
	first.NetNS, second.NetNS, closed.NetNS = newNetNS(t), newNetNS(t), newNetNS(t)
	addVeth(t, first.NetNS, "net1", second.NetNS, "eth0")
	addVeth(t, first.NetNS, "eth0", second.NetNS, "net1")
	closed.NetNS.Close()
	before := ownNetNS(t)
	list := r.Pods(context.Background(), []*Pod{first, newPod(""), closed, second})
	for _, i := range []int{0, 3} {
		n := list[i].Linux.Network
		if n.GetDefaultInterface().GetName() != "eth0" || len(n.Interfaces) != 1 || n.Interfaces[0].Name != "net1" || n.Timestamp <= 0 {
			t.Errorf("%d: %v", i, n)
		}
		if n.GetDefaultInterface().GetTxBytes().GetValue() == 0 || n.GetDefaultInterface().GetRxBytes().GetValue() == 0 {
			t.Errorf("%d: nothing was transferred: %v", i, n)
		}
	}
	if list[1].Linux.Network != nil || list[2].Linux.Network != nil {
		t.Errorf("%v, %v", list[1].Linux.Network, list[2].Linux.Network)
	}
	metrics := r.Metrics(context.Background(), []*Pod{first})
	if len(metrics[0].Metrics) != 16 {
		t.Errorf("%d metrics of two interfaces", len(metrics[0].Metrics))
	}
	if after := ownNetNS(t); after != before {
		t.Errorf("the process was in %s and is in %s", before, after)
	}
}

func ownNetNS(t *testing.T) string {
	t.Helper()
	name, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return name
}
