// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"sync"
)

// background is work that a caller does not wait for, but close does.
type background struct {
	ctx    context.Context // done when the work is to end
	cancel context.CancelFunc
	work   sync.WaitGroup
}

func newBackground() background {
	ctx, cancel := context.WithCancel(context.Background())
	return background{ctx: ctx, cancel: cancel}
}

// goOn does f, which ends soon once the context is done. It must not be called after close.
func (b *background) goOn(f func(context.Context)) {
	b.work.Go(func() { f(b.ctx) })
}

func (b *background) close() {
	b.cancel()
	b.work.Wait()
}
