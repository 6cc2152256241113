// SPDX-License-Identifier: Apache-2.0

package top

import (
	"cmp"
	"slices"
	"strings"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// compare makes a report of a sample and the one before, which may be nil. It has the pods of
// namespace, all if that is empty.
func compare(before, now *sample, namespace string) *Report {
	if before == nil {
		before = &sample{at: now.at}
	}
	r := &Report{
		Time: now.at, IntervalSeconds: now.at.Sub(before.at).Seconds(),
		RuntimeName: now.version.GetRuntimeName(), RuntimeVersion: now.version.GetRuntimeVersion(),
		Node: node(before, now), Daemon: daemon(before, now), Pods: []Pod{},
	}
	containers := newest(now.containers)
	for _, p := range now.pods {
		pod := podOf(before, now, p, containers[p.Id])
		r.Node.add(&pod)
		if namespace == "" || pod.Namespace == namespace {
			r.Pods = append(r.Pods, pod)
		}
	}
	return r
}

func node(before, now *sample) Node {
	n := Node{CPUs: now.node.cpus, MemoryTotalBytes: now.node.memoryTotal, MemoryAvailableBytes: now.node.available}
	if total := now.node.total - before.node.total; before.node.cpus > 0 && total > 0 {
		n.CPUPercent = percent(now.node.busy-before.node.busy, total/time.Duration(now.node.cpus))
	}
	return n
}

// percent of one CPU, nil for times that run backwards.
func percent(used, passed time.Duration) *float64 {
	if used < 0 || passed <= 0 {
		return nil
	}
	p := 100 * float64(used) / float64(passed)
	return &p
}

func (n *Node) add(p *Pod) {
	n.Pods++
	if p.State == stateReady {
		n.PodsReady++
	}
	n.Containers += len(p.Containers)
	n.ContainersRunning += p.ContainersRunning
}

func daemon(before, now *sample) *Daemon {
	if now.daemon == nil {
		return nil
	}
	d := &Daemon{
		Process:    *process(before.daemon, now.daemon, now.at.Sub(before.at)),
		Goroutines: now.metrics.goroutines, StoredDescriptors: now.metrics.stored,
	}
	d.Holder = process(before.holder, now.holder, now.at.Sub(before.at))
	return d
}

func process(before, now *processSample, passed time.Duration) *Process {
	if now == nil {
		return nil
	}
	p := &Process{
		PID: now.pid, ResidentBytes: now.resident, Threads: now.threads, Descriptors: now.descriptors, AgeSeconds: now.age.Seconds(),
	}
	if before != nil && before.pid == now.pid && before.start == now.start {
		p.CPUPercent = percent(now.cpu-before.cpu, passed)
	}
	return p
}

// newest returns the newest container of each name for each pod, by name.
func newest(all []*cri.Container) map[string][]*cri.Container {
	pods := map[string][]*cri.Container{}
	for _, c := range all {
		pods[c.PodSandboxId] = append(pods[c.PodSandboxId], c)
	}
	name := func(c *cri.Container) string { return c.GetMetadata().GetName() }
	for id, list := range pods {
		slices.SortFunc(list, func(a, b *cri.Container) int {
			return cmp.Or(cmp.Compare(name(a), name(b)), cmp.Compare(b.GetMetadata().GetAttempt(), a.GetMetadata().GetAttempt()),
				cmp.Compare(b.CreatedAt, a.CreatedAt))
		})
		pods[id] = slices.CompactFunc(list, func(a, b *cri.Container) bool { return name(a) == name(b) })
	}
	return pods
}

func podOf(before, now *sample, p *cri.PodSandbox, containers []*cri.Container) Pod {
	created := time.Unix(0, p.CreatedAt)
	pod := Pod{
		Namespace: p.GetMetadata().GetNamespace(), Name: p.GetMetadata().GetName(), UID: p.GetMetadata().GetUid(), ID: p.Id,
		State: stateNotReady, IPs: now.ips[p.Id], CreatedAt: created.UTC(), AgeSeconds: now.at.Sub(created).Seconds(),
		Containers: make([]Container, len(containers)),
	}
	if p.State == cri.PodSandboxState_SANDBOX_READY {
		pod.State = stateReady
	}
	if pod.IPs == nil {
		pod.IPs = []string{}
	}
	for i, c := range containers {
		pod.Containers[i] = containerOf(before, now, c)
		pod.Restarts += pod.Containers[i].Restarts
		if pod.Containers[i].State == stateRunning {
			pod.ContainersRunning++
		}
	}
	if _, told := now.usages[p.Id]; told {
		pod.Usage = use(before, now, p.Id)
	} else {
		pod.Usage = sum(pod.Containers)
	}
	return pod
}

func containerOf(before, now *sample, c *cri.Container) Container {
	created := time.Unix(0, c.CreatedAt)
	return Container{
		Name: c.GetMetadata().GetName(), ID: c.Id, Restarts: int(c.GetMetadata().GetAttempt()),
		State:     strings.ToLower(strings.TrimPrefix(c.State.String(), "CONTAINER_")),
		CreatedAt: created.UTC(), AgeSeconds: now.at.Sub(created).Seconds(), Usage: use(before, now, c.Id),
	}
}

// use is what the pod or container id used between two samples, by the server's clock.
func use(before, now *sample, id string) Usage {
	b, n := before.usages[id], now.usages[id]
	u := Usage{MemoryWorkingSetBytes: n.workingSet}
	switch {
	case n.cpu == nil:
	case b.cpu != nil && n.at > b.at && *n.cpu >= *b.cpu:
		u.CPUPercent = percent(time.Duration(*n.cpu-*b.cpu), time.Duration(n.at-b.at))
	case n.nanoCores != nil:
		u.CPUPercent = percent(time.Duration(*n.nanoCores), time.Second)
	}
	return u
}

// sum is what a pod uses of which the server tells nothing.
func sum(containers []Container) Usage {
	var u Usage
	for _, c := range containers {
		u.CPUPercent, u.MemoryWorkingSetBytes = plus(u.CPUPercent, c.CPUPercent), plus(u.MemoryWorkingSetBytes, c.MemoryWorkingSetBytes)
	}
	return u
}

func plus[T float64 | uint64](a, b *T) *T {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	total := *a + *b
	return &total
}
