// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"sync"
	"sync/atomic"
	"time"
)

// share has a number of workers call f with 0, 1, 2 and so on below n, each with
// the next as soon as it is free; a negative n is no end. A worker ends when f
// says false. What all have recorded is returned, and how long it took.
func share(workers, n int, f func(i int, times *recorder) bool) (recorder, time.Duration) {
	var next atomic.Int64
	take := func() (int, bool) {
		i := int(next.Add(1)) - 1
		return i, n < 0 || i < n
	}
	recorders := make([]recorder, workers)
	var running sync.WaitGroup
	began := time.Now()
	for w := range recorders {
		running.Go(func() {
			for i, more := take(); more && f(i, &recorders[w]); {
				i, more = take()
			}
		})
	}
	running.Wait()
	elapsed := time.Since(began)
	var times recorder
	for w := range recorders {
		times.merge(&recorders[w])
	}
	return times, elapsed
}
