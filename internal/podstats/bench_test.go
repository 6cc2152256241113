// SPDX-License-Identifier: Apache-2.0

package podstats

import (
	"context"
	"testing"
)

// benchmarkNode is a node with that many pods of one container each, each in its own cgroup.
func benchmarkNode(b *testing.B, n int) (*Reader, []*Pod) {
	h := detect(b)
	pods := make([]*Pod, n)
	for i := range pods {
		c := newContainer(b, &process{Cgroup: newCgroup(b, h, testParent)}, 5)
		pods[i] = newPod("", c)
	}
	return &Reader{Cgroups: h}, pods
}

// BenchmarkList is one answer about 1000 containers, with writable layers of eight files that are
// too old to go unmeasured, or not.
func BenchmarkList(b *testing.B) {
	r, pods := benchmarkNode(b, 1000)
	containers := containersOf(pods)
	ctx := context.Background()
	b.Run("containers, layers known", func(b *testing.B) {
		r.Containers(ctx, containers)
		b.ResetTimer()
		for range b.N {
			r.Containers(ctx, containers)
		}
	})
	b.Run("containers, layers walked", func(b *testing.B) {
		for range b.N {
			b.StopTimer()
			for _, c := range containers {
				c.History = new(History)
			}
			b.StartTimer()
			r.Containers(ctx, containers)
		}
	})
	b.Run("pods", func(b *testing.B) {
		for range b.N {
			r.Pods(ctx, pods)
		}
	})
	b.Run("metrics", func(b *testing.B) {
		for range b.N {
			r.Metrics(ctx, pods)
		}
	})
}
