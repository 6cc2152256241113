// SPDX-License-Identifier: Apache-2.0

package podstats

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/cgroup"
)

// Metrics are what the kubelet serves as /metrics/cadvisor: of each pod its network, of
// each container that runs the rest.
func (r *Reader) Metrics(ctx context.Context, pods []*Pod) []*runtime.PodSandboxMetrics {
	deadline := time.Now().Add(layerBudget)
	walkOldestFirst(containersOf(pods), deadline)
	nets := networks(ctx, pods)
	devices := deviceNames{}
	list := make([]*runtime.PodSandboxMetrics, len(pods))
	for i, p := range pods {
		m := &runtime.PodSandboxMetrics{PodSandboxId: p.Attributes.GetId(), Metrics: networkMetrics(p, nets[i])}
		for _, c := range p.Containers {
			if c.Process != nil {
				m.ContainerMetrics = append(m.ContainerMetrics, containerMetrics(ctx, p, c, devices, deadline))
			}
		}
		list[i] = m
	}
	return list
}

// values collects the metrics of one pod or container. They are read live, so they have no
// timestamp (api.proto, Metric), and no two may have the same name and labels.
type values struct {
	labels []string
	list   []*runtime.Metric
}

func newValues(p *Pod, container, id, image string) *values {
	meta := p.Attributes.GetMetadata()
	return &values{labels: []string{meta.GetName(), meta.GetNamespace(), container, id, image}}
}

func (v *values) add(k *kind, n uint64, labels ...string) {
	all := v.labels
	if len(labels) > 0 {
		all = append(slices.Clip(v.labels), labels...)
	}
	v.list = append(v.list, &runtime.Metric{Name: k.name, MetricType: k.typ, LabelValues: all, Value: value(n)})
}

// seconds: a metric's value is a whole number.
func (v *values) seconds(k *kind, d time.Duration) { v.add(k, uint64(d/time.Second)) }

func networkMetrics(p *Pod, n *network) []*runtime.Metric {
	if n == nil {
		return nil
	}
	v := newValues(p, "", p.Attributes.GetId(), "")
	for _, t := range n.interfaces {
		v.add(&networkRxBytes, t.rx.bytes, t.name)
		v.add(&networkRxPackets, t.rx.packets, t.name)
		v.add(&networkRxDropped, t.rx.drops, t.name)
		v.add(&networkRxErrors, t.rx.errors, t.name)
		v.add(&networkTxBytes, t.tx.bytes, t.name)
		v.add(&networkTxPackets, t.tx.packets, t.name)
		v.add(&networkTxDropped, t.tx.drops, t.name)
		v.add(&networkTxErrors, t.tx.errors, t.name)
	}
	return v.list
}

func containerMetrics(ctx context.Context, p *Pod, c *Container, devices deviceNames, deadline time.Time) *runtime.ContainerMetrics {
	id := c.Attributes.GetId()
	v := newValues(p, c.Attributes.GetMetadata().GetName(), id, c.Image)
	v.add(&lastSeen, uint64(time.Now().Unix()))
	if !c.StartedAt.IsZero() {
		v.add(&startTime, uint64(c.StartedAt.Unix()))
	}
	u, err := usage(c, cgroup.Details)
	if err != nil {
		log.G(ctx).WithError(err).WithField("container", id).Warn("metrics cannot be read in full")
	}
	if u != nil {
		v.cpu(u.CPU)
		v.memory(u.Memory)
		v.tasks(u.Tasks)
		v.io(u.IO, devices)
		v.pressure(u)
	}
	v.fileSystem(c, deadline)
	v.processes(c)
	v.limits(c.Resources)
	return &runtime.ContainerMetrics{ContainerId: id, Metrics: v.list}
}

func (v *values) cpu(c *cgroup.CPUUsage) {
	if c == nil {
		return
	}
	v.seconds(&cpuTotal, c.Total)
	v.seconds(&cpuUser, c.User)
	v.seconds(&cpuSystem, c.System)
	v.add(&cpuPeriods, c.Periods)
	v.add(&cpuThrottledPeriods, c.ThrottledPeriods)
	v.seconds(&cpuThrottled, c.Throttled)
}

func (v *values) memory(m *cgroup.MemoryUsage) {
	if m == nil {
		return
	}
	v.add(&memoryCache, m.File)
	v.add(&memoryRSS, m.Anon)
	v.add(&memoryKernel, m.Kernel)
	v.add(&memoryMapped, m.MappedFile)
	v.add(&memorySwap, m.SwapUsage)
	v.add(&memoryFailcnt, m.LimitHits)
	v.add(&memoryUsed, m.Usage)
	v.add(&memoryMax, m.MaxUsage)
	v.add(&memoryWorkingSet, m.WorkingSet())
	v.add(&memoryActiveFile, m.ActiveFile)
	v.add(&memoryInactiveFile, m.InactiveFile)
	v.add(&memoryFailures, m.OwnPageFaults, "pgfault", "container")
	v.add(&memoryFailures, m.OwnMajorFaults, "pgmajfault", "container")
	v.add(&memoryFailures, m.PageFaults, "pgfault", "hierarchy")
	v.add(&memoryFailures, m.MajorFaults, "pgmajfault", "hierarchy")
	v.add(&oomEvents, m.OOMKillings)
}

func (v *values) tasks(t *cgroup.TaskUsage) {
	if t == nil {
		return
	}
	v.add(&threads, t.Current)
	v.add(&threadsMax, unlimitedIsZero(t.Limit))
}

func unlimitedIsZero(limit uint64) uint64 {
	if limit == cgroup.NoLimit {
		return 0
	}
	return limit
}

func (v *values) io(io *cgroup.IOUsage, devices deviceNames) {
	if io == nil {
		return
	}
	for _, d := range io.Devices {
		name := devices.of(d.Major, d.Minor)
		v.add(&fsReadBytes, d.ReadBytes, name)
		v.add(&fsReads, d.Reads, name)
		v.add(&fsWriteBytes, d.WriteBytes, name)
		v.add(&fsWrites, d.Writes, name)
		major, minor := strconv.FormatUint(uint64(d.Major), 10), strconv.FormatUint(uint64(d.Minor), 10)
		v.add(&blkioUsage, d.ReadBytes, name, major, minor, "Read")
		v.add(&blkioUsage, d.WriteBytes, name, major, minor, "Write")
	}
}

func (v *values) pressure(u *cgroup.Usage) {
	one := func(p *cgroup.Pressure, waiting, stalled *kind) {
		if p != nil {
			v.seconds(waiting, p.Some.Total)
			v.seconds(stalled, p.Full.Total)
		}
	}
	if u.CPU != nil {
		one(u.CPU.Pressure, &pressureCPUWaiting, &pressureCPUStalled)
	}
	if u.Memory != nil {
		one(u.Memory.Pressure, &pressureMemoryWaiting, &pressureMemoryStalled)
	}
	if u.IO != nil {
		one(u.IO.Pressure, &pressureIOWaiting, &pressureIOStalled)
	}
}

// fileSystem names the device "/", as containerd does: the container's root.
func (v *values) fileSystem(c *Container, deadline time.Time) {
	l := layerUsage(c, deadline)
	if l == nil {
		return
	}
	v.add(&fsUsed, l.GetUsedBytes().GetValue(), "/")
	var st unix.Statfs_t
	if unix.Statfs(c.Layer, &st) != nil {
		return
	}
	v.add(&fsLimit, st.Blocks*uint64(st.Bsize), "/")
	v.add(&fsInodes, st.Files, "/")
	v.add(&fsInodesFree, st.Ffree, "/")
}

// limits are reported as the container was configured, with the kernel's values for what is not set.
func (v *values) limits(r *runtime.LinuxContainerResources) {
	const defaultPeriod, defaultShares = 100000, 1024
	v.add(&specCPUPeriod, positive(r.GetCpuPeriod(), defaultPeriod))
	if quota := r.GetCpuQuota(); quota > 0 {
		v.add(&specCPUQuota, uint64(quota))
	}
	v.add(&specCPUShares, positive(r.GetCpuShares(), defaultShares))
	v.add(&specMemory, positive(r.GetMemoryLimitInBytes(), 0))
	v.add(&specReservation, 0) // CRI has none
	v.add(&specSwap, positive(r.GetMemorySwapLimitInBytes(), 0))
}

func positive(n int64, otherwise uint64) uint64 {
	if n <= 0 {
		return otherwise
	}
	return uint64(n)
}

// deviceNames remembers /dev/NAME of block devices for one report.
type deviceNames map[[2]uint32]string

func (names deviceNames) of(major, minor uint32) string {
	key := [2]uint32{major, minor}
	name, ok := names[key]
	if !ok {
		number := strconv.FormatUint(uint64(major), 10) + ":" + strconv.FormatUint(uint64(minor), 10)
		name = number
		if target, err := os.Readlink("/sys/dev/block/" + number); err == nil {
			name = "/dev/" + filepath.Base(target)
		}
		names[key] = name
	}
	return name
}
