// SPDX-License-Identifier: Apache-2.0

package pod

import "context"

// lock is a mutex whose taker can give up: who holds it may wait for processes and plugins.
//
// Locks are taken in this order, and none but a lock is held while anything is waited for:
//
//	nri.Operation, Sandbox.op, Container.op, Container.limits, Sandbox.mu, Container.mu
//
// Manager.mu is taken alone. container.Container's own mutex is held while Manager.observe is
// called and comes before Manager.mu and Container.mu; nothing here calls a container.Container
// with Manager.mu or Sandbox.mu held.
type lock chan struct{}

func newLock() lock { return make(lock, 1) }

// take waits for the lock, or returns ctx's error.
func (l lock) take(ctx context.Context) error {
	select {
	case l <- struct{}{}:
		return nil
	default:
	}
	select {
	case l <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (l lock) release() { <-l }
