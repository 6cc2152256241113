// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"context"
	"fmt"
	"os"
	"sync"
)

// raisers is how many workers start the pods of a workload that is about
// something else.
const raisers = 4

// raisePods starts n pods. It ends early with ctx, and after too many errors.
func (r *run) raisePods(ctx context.Context, n int) []*pod {
	var mu sync.Mutex // guards pods
	var pods []*pod
	times, elapsed := share(raisers, n, func(i int, times *recorder) bool {
		if ctx.Err() != nil || r.failing() {
			return false
		}
		id := fmt.Sprintf("stress-%d-%d", os.Getpid(), i)
		p, err := r.raisePod(ctx, id, times)
		if err != nil {
			r.count(id, err)
			return true
		}
		mu.Lock()
		defer mu.Unlock()
		pods = append(pods, p)
		return true
	})
	r.result.addTimes(&times, elapsed)
	return pods
}

// removePods removes them, in whatever state they are.
func (r *run) removePods(ctx context.Context, pods []*pod) {
	share(raisers, len(pods), func(i int, _ *recorder) bool {
		ctx, cancel := r.bounded(ctx)
		defer cancel()
		r.count(pods[i].config.Metadata.Name, pods[i].remove(ctx))
		return true
	})
}
