// SPDX-License-Identifier: Apache-2.0

package network

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// gate lets a few operations run at a time, and garbage collection alone, as the
// specification demands ("the runtime must ensure that no add or delete are in progress
// before executing gc").
type gate struct {
	young *semaphore.Weighted
	all   *semaphore.Weighted
}

// patience is how long an operation counts as competing for the kernel's lock. One that takes
// longer waits for something else, a server for example, and must not keep others from running.
const patience = 2 * time.Second

func newGate(width int) *gate {
	return &gate{young: semaphore.NewWeighted(int64(width)), all: semaphore.NewWeighted(math.MaxInt64)}
}

// enter waits for a place. leave gives it back, once.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	if err := acquire(ctx, g.all, 1); err != nil {
		return nil, err
	}
	if err := acquire(ctx, g.young, 1); err != nil {
		g.all.Release(1)
		return nil, err
	}
	release := sync.OnceFunc(func() { g.young.Release(1) })
	timer := time.AfterFunc(patience, release)
	return func() {
		timer.Stop()
		release()
		g.all.Release(1)
	}, nil
}

// alone waits until no operation runs and keeps new ones out until leave.
func (g *gate) alone(ctx context.Context) (leave func(), err error) {
	if err := acquire(ctx, g.all, math.MaxInt64); err != nil {
		return nil, err
	}
	return func() { g.all.Release(math.MaxInt64) }, nil
}

func acquire(ctx context.Context, s *semaphore.Weighted, n int64) error {
	if err := s.Acquire(ctx, n); err != nil {
		return fmt.Errorf("waiting for other pods' networks: %w", err)
	}
	return nil
}

// locks has one lock for each id in use.
type locks struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when given back
}

// lock waits until nobody else holds id's.
func (l *locks) lock(ctx context.Context, id string) (unlock func(), err error) {
	for {
		l.mu.Lock()
		held, taken := l.held[id]
		if !taken {
			mine := make(chan struct{})
			l.held[id] = mine
			l.mu.Unlock()
			return func() { l.unlock(id, mine) }, nil
		}
		l.mu.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for another operation on the network of pod sandbox %s: %w", id, ctx.Err())
		}
	}
}

func (l *locks) unlock(id string, mine chan struct{}) {
	l.mu.Lock()
	delete(l.held, id)
	l.mu.Unlock()
	close(mine)
}
