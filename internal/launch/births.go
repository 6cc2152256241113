// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// maxBirths is as many as there are slots for.
const maxBirths = 8

// births lets a few launches clone at the same time, in the order in which they came.
//
// The Go runtime clones by vfork, and keeps a processor for a thread until its child has executed sardine-init. With a
// hundred execs that begin at once all processors of the daemon were kept so: whoever asked it for anything else
// waited for up to half a second, with a thousand for three. Nothing is lost by leaving one free: what a clone takes is a tenth of
// what the processors of the node have to do for it.
//
// One that takes long waits for what others need not wait for: memory that its container is short of, or a share of
// busy processors that is small. Its place is given to the next one.
type births struct{ places *semaphore.Weighted }

// patience is how long a birth has a place: ten times as long as one takes.
const patience = 10 * time.Millisecond

func newBirths(processors int) *births {
	return &births{semaphore.NewWeighted(int64(min(max(processors-1, 1), maxBirths)))}
}

// begin waits for a place. end gives it back.
func (b *births) begin(ctx context.Context) (end func(), err error) {
	if err := b.places.Acquire(ctx, 1); err != nil {
		return nil, context.Cause(ctx)
	}
	release := sync.OnceFunc(func() { b.places.Release(1) })
	timer := time.AfterFunc(patience, release)
	return func() { timer.Stop(); release() }, nil
}
