// SPDX-License-Identifier: Apache-2.0

package top

import (
	"fmt"
	"time"
)

func to[T any](v T) *T { return &v }

var noon = time.Date(2026, 9, 1, 12, 0, 0, 0, time.Local)

// someReport has three pods that differ in every order.
func someReport() *Report {
	return &Report{
		Time: noon, Address: "/run/d.sock", RuntimeName: "sardine", RuntimeVersion: "1.2.3",
		Node: Node{
			CPUs: 2, CPUPercent: to(12.25), MemoryTotalBytes: 4 << 30, MemoryAvailableBytes: 3 << 30,
			Pods: 3, PodsReady: 2, Containers: 4, ContainersRunning: 3,
		},
		Daemon: &Daemon{Process: Process{
			PID: 77, CPUPercent: to(0.5), ResidentBytes: 50 << 20, Threads: 12, Descriptors: to(345), AgeSeconds: 7500,
		}},
		Pods: []Pod{
			{
				Namespace: "web", Name: "shop", ID: "1", State: stateReady, IPs: []string{"10.0.0.2", "fd00::2"}, CreatedAt: noon.Add(-time.Hour), AgeSeconds: 3600,
				Restarts: 2, ContainersRunning: 2, Usage: Usage{to(150.0), to(uint64(300 << 20))},
				Containers: []Container{
					{Name: "app", ID: "a", State: stateRunning, AgeSeconds: 3590, Restarts: 2, Usage: Usage{to(149.0), to(uint64(299 << 20))}},
					{Name: "log", ID: "b", State: stateRunning, AgeSeconds: 3590, Usage: Usage{to(1.0), to(uint64(1 << 20))}},
				},
			},
			{
				Namespace: "db", Name: "store", ID: "2", State: stateReady, IPs: []string{"10.0.0.3"}, CreatedAt: noon.Add(-72 * time.Hour), AgeSeconds: 72 * 3600,
				ContainersRunning: 1, Usage: Usage{to(3.21), to(uint64(2 << 30))},
				Containers: []Container{{Name: "db", ID: "c", State: stateRunning, AgeSeconds: 72 * 3600, Usage: Usage{to(3.21), to(uint64(2 << 30))}}},
			},
			{
				Namespace: "batch", Name: "job", ID: "3", State: stateNotReady, IPs: []string{}, CreatedAt: noon.Add(-42 * time.Second), AgeSeconds: 42,
				Restarts: 5, Containers: []Container{{Name: "job", ID: "d", State: "exited", AgeSeconds: 41, Restarts: 5}},
			},
		},
	}
}

// manyPods has n pods called pod-001 and so on.
func manyPods(n int) *Report {
	r := someReport()
	r.Pods = nil
	for i := range n {
		r.Pods = append(r.Pods, Pod{Namespace: "ns", Name: fmt.Sprintf("pod-%03d", i+1), ID: fmt.Sprint(i), State: stateReady})
	}
	return r
}
