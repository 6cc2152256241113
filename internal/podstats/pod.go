// SPDX-License-Identifier: Apache-2.0

package podstats

import (
	"context"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/sardine-run/sardine/internal/cgroup"
)

// Pods reports about each pod and its containers, in the same order. Trouble with one pod or container is
// logged, and what it concerns is missing.
func (r *Reader) Pods(ctx context.Context, pods []*Pod) []*runtime.PodSandboxStats {
	deadline := time.Now().Add(layerBudget)
	walkOldestFirst(containersOf(pods), deadline)
	nets := networks(ctx, pods)
	list := make([]*runtime.PodSandboxStats, len(pods))
	for i, p := range pods {
		list[i] = &runtime.PodSandboxStats{Attributes: p.Attributes, Linux: r.podStats(ctx, p, nets[i], deadline)}
	}
	return list
}

// Pod reports about one pod.
func (r *Reader) Pod(ctx context.Context, p *Pod) *runtime.PodSandboxStats {
	return r.Pods(ctx, []*Pod{p})[0]
}

func containersOf(pods []*Pod) []*Container {
	var all []*Container
	for _, p := range pods {
		all = append(all, p.Containers...)
	}
	return all
}

func (r *Reader) podStats(ctx context.Context, p *Pod, n *network, deadline time.Time) *runtime.LinuxPodSandboxStats {
	s := &runtime.LinuxPodSandboxStats{Network: n.usage()}
	var processes uint64
	usages := make([]*cgroup.Usage, 0, len(p.Containers))
	for _, c := range p.Containers {
		u := logged(ctx, c)
		if u != nil {
			usages = append(usages, u)
			processes += uint64(len(pids(c)))
		}
		s.Containers = append(s.Containers, containerStats(c, u, deadline))
	}
	u := r.podUsage(ctx, p)
	if u == nil {
		u = added(usages)
	}
	s.Cpu, s.Memory, s.Io = cpuUsage(u, p.History), memoryUsage(u), ioUsage(u)
	s.Process = &runtime.ProcessUsage{Timestamp: u.At.UnixNano(), ProcessCount: value(processes)}
	return s
}

// podUsage reads the cgroup that the kubelet made for the pod, nil without one.
func (r *Reader) podUsage(ctx context.Context, p *Pod) *cgroup.Usage {
	if p.CgroupParent == "" {
		return nil
	}
	u, err := r.Cgroups.Usage(p.CgroupParent, cgroup.Summary)
	if err != nil {
		if !errdefs.IsNotFound(err) {
			log.G(ctx).WithError(err).WithField("pod", p.Attributes.GetId()).Warn("resource use of the pod cannot be read")
		}
		return nil
	}
	return u
}

// added up containers are a pod that has no cgroup of its own. Waiting times cannot be added.
func added(usages []*cgroup.Usage) *cgroup.Usage {
	total := &cgroup.Usage{
		At:     time.Now(),
		CPU:    &cgroup.CPUUsage{},
		Memory: &cgroup.MemoryUsage{Limit: cgroup.NoLimit, SwapLimit: cgroup.NoLimit},
	}
	for _, u := range usages {
		if u.CPU != nil {
			total.CPU.Total += u.CPU.Total
		}
		if m := u.Memory; m != nil {
			total.Memory.Usage += m.Usage
			total.Memory.InactiveFile += m.InactiveFile
			total.Memory.Anon += m.Anon
			total.Memory.PageFaults += m.PageFaults
			total.Memory.MajorFaults += m.MajorFaults
		}
	}
	return total
}

// pids of the container's processes, none when they cannot be listed.
func pids(c *Container) []int {
	if c.Process == nil {
		return nil
	}
	list, err := c.Process.Pids()
	if err != nil {
		return nil
	}
	pids := make([]int, len(list))
	for i, p := range list {
		pids[i] = p.Pid
	}
	return pids
}
