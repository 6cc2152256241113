// SPDX-License-Identifier: Apache-2.0

package top

import (
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func criPod(id string, ready bool) *cri.PodSandbox {
	p := &cri.PodSandbox{Id: id, Metadata: &cri.PodSandboxMetadata{Name: "pod-" + id, Namespace: "ns-" + id, Uid: "uid"}, CreatedAt: noon.Add(-time.Minute).UnixNano()}
	if !ready {
		p.State = cri.PodSandboxState_SANDBOX_NOTREADY
	}
	return p
}

func criContainer(id, pod, name string, attempt uint32, state cri.ContainerState) *cri.Container {
	return &cri.Container{
		Id: id, PodSandboxId: pod, Metadata: &cri.ContainerMetadata{Name: name, Attempt: attempt}, State: state, CreatedAt: noon.Add(-30 * time.Second).UnixNano(),
	}
}

// twoSamples are two seconds apart by our clock, and one by the server's.
func twoSamples() (before, now *sample) {
	before = &sample{
		at:     noon.Add(-2 * time.Second),
		node:   nodeSample{cpus: 4, busy: 100 * time.Second, total: 400 * time.Second},
		daemon: &processSample{pid: 9, start: 5, cpu: time.Second},
		usages: map[string]usage{
			"p1": {at: 1e9, cpu: to(uint64(10e9))}, "c1": {at: 1e9, cpu: to(uint64(10e9))},
			"p2": {at: 1e9, cpu: to(uint64(50e9))},
		},
	}
	now = &sample{
		at: noon, version: &cri.VersionResponse{RuntimeName: "sardine", RuntimeVersion: "1"},
		pods: []*cri.PodSandbox{criPod("p1", true), criPod("p2", true), criPod("p3", false)},
		containers: []*cri.Container{
			criContainer("c0", "p1", "app", 0, cri.ContainerState_CONTAINER_EXITED),
			criContainer("c1", "p1", "app", 3, cri.ContainerState_CONTAINER_RUNNING),
			criContainer("c2", "p1", "side", 1, cri.ContainerState_CONTAINER_CREATED),
			criContainer("c3", "p2", "app", 0, cri.ContainerState_CONTAINER_RUNNING),
		},
		usages: map[string]usage{
			"p1": {at: 2e9, cpu: to(uint64(10.5e9)), workingSet: to(uint64(1000))}, "c1": {at: 2e9, cpu: to(uint64(10.25e9)), workingSet: to(uint64(900))},
			"p2": {at: 2e9, cpu: to(uint64(20e9))},                            // began anew
			"c3": {at: 2e9, cpu: to(uint64(1)), nanoCores: to(uint64(250e6))}, // new, but the server knows
		},
		ips:    map[string][]string{"p1": {"10.0.0.2"}},
		node:   nodeSample{cpus: 4, busy: 101 * time.Second, total: 408 * time.Second, memoryTotal: 100, available: 40},
		daemon: &processSample{pid: 9, start: 5, cpu: 1100 * time.Millisecond, resident: 7},
	}
	return before, now
}

func TestCompare(t *testing.T) {
	before, now := twoSamples()
	r := compare(before, now, "")
	if r.IntervalSeconds != 2 || len(r.Pods) != 3 {
		t.Fatalf("%+v", r)
	}
	if n := r.Node; *n.CPUPercent != 50 || n.CPUs != 4 || n.Pods != 3 || n.PodsReady != 2 || n.Containers != 3 || n.ContainersRunning != 2 {
		t.Errorf("node %+v, cpu %v", n, *n.CPUPercent)
	}
	if d := r.Daemon; *d.CPUPercent != 5 || d.ResidentBytes != 7 || d.Holder != nil {
		t.Errorf("daemon %+v", d)
	}
	p := r.Pods[0]
	if *p.CPUPercent != 50 || *p.MemoryWorkingSetBytes != 1000 || p.Restarts != 4 || p.ContainersRunning != 1 || p.State != stateReady || p.AgeSeconds != 60 || len(p.IPs) != 1 {
		t.Errorf("pod %+v", p)
	}
	if len(p.Containers) != 2 || p.Containers[0].ID != "c1" || *p.Containers[0].CPUPercent != 25 || p.Containers[0].State != stateRunning {
		t.Errorf("containers %+v", p.Containers)
	}
	if c := p.Containers[1]; c.State != "created" || c.CPUPercent != nil || c.MemoryWorkingSetBytes != nil {
		t.Errorf("a container without process: %+v", c)
	}
	if p := r.Pods[1]; p.CPUPercent != nil || *p.Containers[0].CPUPercent != 25 {
		t.Errorf("whose time ran backwards: %+v", p)
	}
	if p := r.Pods[2]; p.State != stateNotReady || p.IPs == nil || p.Containers == nil {
		t.Errorf("a pod that has ended: %+v", p)
	}
}

func TestCompareNamespace(t *testing.T) {
	before, now := twoSamples()
	r := compare(before, now, "ns-p2")
	if names(r.Pods) != "pod-p2" || r.Node.Pods != 3 {
		t.Errorf("%s of %d", names(r.Pods), r.Node.Pods)
	}
}

// The first sample has no rates but those the server tells, and a daemon started in between
// none either.
func TestCompareWithNothing(t *testing.T) {
	before, now := twoSamples()
	r := compare(nil, now, "")
	if r.IntervalSeconds != 0 || r.Node.CPUPercent != nil || r.Daemon.CPUPercent != nil || r.Pods[0].CPUPercent != nil || *r.Pods[1].Containers[0].CPUPercent != 25 {
		t.Errorf("%+v", r)
	}
	now.daemon.start++
	if d := compare(before, now, "").Daemon; d.CPUPercent != nil {
		t.Errorf("of another process: %+v", d)
	}
	now.daemon = nil
	if d := compare(before, now, "").Daemon; d != nil {
		t.Errorf("of no process: %+v", d)
	}
}

// A server that tells nothing of pods tells of containers.
func TestCompareAddsUp(t *testing.T) {
	before, now := twoSamples()
	now.containers = append(now.containers, criContainer("c4", "p2", "side", 0, cri.ContainerState_CONTAINER_RUNNING))
	now.usages["c4"] = usage{at: 2e9, cpu: to(uint64(1)), nanoCores: to(uint64(500e6)), workingSet: to(uint64(5))}
	delete(now.usages, "p2")
	if p := compare(before, now, "").Pods[1]; *p.CPUPercent != 75 || *p.MemoryWorkingSetBytes != 5 {
		t.Errorf("%+v", p)
	}
}
