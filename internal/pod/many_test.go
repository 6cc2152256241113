// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// manyPods is how many pods a large node has.
const manyPods = 1000

// Budgets of an idle pod of one container in the host's network, of which a kubelet sends 5 KB of messages.
const (
	// heapBudget is in bytes. With the messages as objects a pod took 18.4 KB, with them as bytes 13.6 KB.
	heapBudget = 16 << 10
	// descriptorBudget: the IPC namespace, two FIFOs and the log file; two pidfds, of the container and of the watch of its end; and
	// with cgroup v1 an eventfd for its memory. A network of its own adds two namespaces.
	descriptorBudget = 8
	// slowdown is how much more time of processors the last pods may take to be made than the first. It was 0.9.
	slowdown = 1.5
)

// largePod is as large as what a kubelet sends.
func largePod(name, cgroup, logs string) *runtime.PodSandboxConfig {
	cfg := hostPod(name, cgroup, logs)
	cfg.Labels, cfg.Annotations = map[string]string{}, map[string]string{}
	for i := range 8 {
		cfg.Labels[fmt.Sprintf("app.kubernetes.io/label-%d", i)] = fmt.Sprintf("value-of-%s-%d", name, i)
		cfg.Annotations[fmt.Sprintf("annotation.example.com/number-%d", i)] = strings.Repeat(name+" ", 8)
	}
	cfg.DnsConfig = &runtime.DNSConfig{
		Servers: []string{"10.96.0.10"}, Searches: []string{"ns.svc.cluster.local", "svc.cluster.local", "cluster.local"}, Options: []string{"ndots:5"},
	}
	cfg.Linux.Resources = &runtime.LinuxContainerResources{CpuPeriod: 100000, CpuShares: 102, MemoryLimitInBytes: 256 << 20}
	return cfg
}

func largeContainer(pod, dir string) *runtime.ContainerConfig {
	cfg := containerConfig("c", "")
	cfg.Command = []string{"/bin/sleep", "1000000"}
	cfg.LogPath = pod + ".log"
	cfg.Labels, cfg.Annotations = map[string]string{}, map[string]string{}
	for i := range 6 {
		cfg.Labels[fmt.Sprintf("io.kubernetes.label-%d", i)] = fmt.Sprintf("value-of-%s-%d", pod, i)
		cfg.Annotations[fmt.Sprintf("io.kubernetes.container.annotation-%d", i)] = strings.Repeat(pod, 4)
	}
	for i := range 40 {
		cfg.Envs = append(cfg.Envs, &runtime.KeyValue{Key: fmt.Sprintf("SERVICE_%d_PORT_443_TCP_ADDR", i), Value: fmt.Appendf(nil, "tcp://10.96.0.%d:443", i)})
	}
	for i := range 4 {
		cfg.Mounts = append(cfg.Mounts, &runtime.Mount{HostPath: dir, ContainerPath: fmt.Sprintf("/tmp/mount%d", i), Readonly: true})
	}
	cfg.Linux.Resources = &runtime.LinuxContainerResources{CpuPeriod: 100000, CpuShares: 102, MemoryLimitInBytes: 256 << 20}
	return cfg
}

// fill runs pods of one idle container, and returns how much time of processors each took.
func (n *node) fill(count int) []time.Duration {
	n.t.Helper()
	took := make([]time.Duration, count)
	dir := filepath.Join(n.dir, "mounted")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		n.t.Fatal(err)
	}
	for i := range count {
		name := fmt.Sprintf("pod-%04d", i)
		before := cpuTime(n.t)
		s := n.run(largePod(name, n.cgroup, n.logs))
		n.start(n.create(s, largeContainer(name, dir)))
		took[i] = cpuTime(n.t) - before
	}
	return took
}

// wantFlat compares the first and the last tenth of what was made, without the few that took longest: what a host takes from a virtual
// machine for a while counts as its processors' time.
func (n *node) wantFlat(took []time.Duration) {
	n.t.Helper()
	tenth := len(took) / 10
	first, last := usual(took[:tenth]), usual(took[len(took)-tenth:])
	n.t.Logf("the first pods took %v of processors each, the last %v", first, last)
	if float64(last) > slowdown*float64(first) {
		n.t.Errorf("the last pods took %v of processors each, the first %v", last, first)
	}
}

// usual is the mean of all but the twentieth that took longest.
func usual(all []time.Duration) (sum time.Duration) {
	sorted := slices.Sorted(slices.Values(all))
	sorted = sorted[:len(sorted)-len(sorted)/20]
	for _, d := range sorted {
		sum += d
	}
	return sum / time.Duration(len(sorted))
}

// cpuTime is what this process has used: others, on a machine that is busy, do not count.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func heapInUse() uint64 {
	goruntime.GC()
	goruntime.GC()
	var m goruntime.MemStats
	goruntime.ReadMemStats(&m)
	return m.HeapAlloc
}

func descriptors(t testing.TB) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// TestThousandPods has a node full of idle pods: what they cost the daemon, and the next one.
func TestThousandPods(t *testing.T) {
	count := manyPods
	if testing.Short() {
		count = 100
	}
	n := newNode(t)
	heap, goroutines, files := heapInUse(), goruntime.NumGoroutine(), descriptors(t)
	n.wantFlat(n.fill(count))
	n.wantCheap("", count, heap, goroutines, files)
	if err := n.close(); err != nil {
		t.Fatal(err)
	}
	n.daemon = &daemon{dir: n.dir}
	started := time.Now()
	n.open()
	t.Logf("%d pods are taken over in %v", count, time.Since(started))
	n.wantCheap(" of the next daemon", count, heap, goroutines, files)
	for _, c := range n.AllContainers() {
		if got := c.Status(); got.State != Running {
			t.Fatalf("status %+v", got)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for _, s := range n.Sandboxes() {
		if err := s.Remove(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func (n *node) wantCheap(whose string, count int, heap uint64, goroutines, files int) {
	n.t.Helper()
	bytes := (int(heapInUse()) - int(heap)) / count
	each := float64(descriptors(n.t)-files) / float64(count)
	n.t.Logf("a pod%s takes %d bytes of heap and %.2f descriptors", whose, bytes, each)
	if bytes > heapBudget {
		n.t.Errorf("a pod%s takes %d bytes of heap, more than %d", whose, bytes, heapBudget)
	}
	if each > descriptorBudget {
		n.t.Errorf("a pod%s takes %.2f descriptors", whose, each)
	}
	if more := goruntime.NumGoroutine() - goroutines; more > 50 {
		n.t.Errorf("%d goroutines more with %d pods%s", more, count, whose)
	}
}

// BenchmarkLoad takes over a thousand idle pods.
func BenchmarkLoad(b *testing.B) {
	n := newNode(b)
	n.fill(manyPods)
	for b.Loop() {
		b.StopTimer()
		if err := n.close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		n.open()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/manyPods, "µs/pod")
}
