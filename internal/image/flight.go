// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"sync"
)

// flights are the pulls under way. Who brings another login has a pull of his own: what the
// registry lets one have it may refuse to the other. They still share each layer.
type flights struct {
	mu    sync.Mutex
	going map[flightKey]*flight
}

type flightKey struct {
	ref, platform, snapshotter string
	auth                       Auth
}

// flight is one pull. id and err are there when done is closed.
type flight struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiters int
	id      string
	err     error
}

func newFlights() *flights { return &flights{going: map[flightKey]*flight{}} }

// join waits for the pull of that key, which start begins if there is none.
func (s *flights) join(ctx context.Context, key flightKey, start func() *flight) (string, error) {
	s.mu.Lock()
	f := s.going[key]
	if f == nil {
		f = start()
		s.going[key] = f
	}
	f.waiters++
	s.mu.Unlock()
	defer s.leave(key, f)
	select {
	case <-f.done:
		return f.id, f.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// leave cancels the pull when nobody waits. Who comes later starts another.
func (s *flights) leave(key flightKey, f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.waiters--; f.waiters > 0 {
		return
	}
	f.cancel()
	if s.going[key] == f {
		delete(s.going, key)
	}
}
