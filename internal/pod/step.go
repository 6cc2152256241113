// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"time"

	"github.com/sardine-run/sardine/internal/fault"
)

// step is a part of an operation. Its name is that of the point after it, where tests make it fail; "" has neither point
// nor measure.
type step struct {
	do   func(context.Context) error
	name fault.Name
}

// inOrder takes the steps until one fails, or the caller does not wait any more: it is for the caller to undo what was
// done, so that a client that tries again finds nothing in its way.
func (m *Manager) inOrder(ctx context.Context, steps []step) error {
	for _, step := range steps {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := m.take(ctx, step); err != nil {
			return err
		}
	}
	return nil
}

// take takes one step, and tells how long it took.
func (m *Manager) take(ctx context.Context, s step) error {
	began := time.Now()
	if err := s.do(ctx); err != nil || s.name == "" {
		return err
	}
	if m.Phase != nil {
		m.Phase(string(s.name), time.Since(began))
	}
	return fault.Point(s.name)
}

// took is take for what needs no context.
func (m *Manager) took(name fault.Name, do func() error) error {
	return m.take(context.Background(), step{func(context.Context) error { return do() }, name})
}
