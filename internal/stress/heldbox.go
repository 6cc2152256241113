// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"context"
	"errors"
	"time"
)

// heldBox is a container as a tenant.
type heldBox struct {
	box
	run *run
}

// raiseBox is the first half of a container's life.
func raiseBox(ctx context.Context, r *run, id string, times *recorder) (tenant, error) {
	ctx, cancel := r.bounded(r.session.Context(ctx))
	defer cancel()
	b := newBox(r.session, id, r.options)
	watch := newStopwatch()
	if err := rise(ctx, b, sleepArgs, times, watch); err != nil {
		return nil, errors.Join(err, b.remove(ctx))
	}
	times.add(Total, watch.total())
	return &heldBox{b, r}, nil
}

func (h *heldBox) processOf(context.Context) (int, error) { return h.pid(), nil }

// leave is the second half.
func (h *heldBox) leave(ctx context.Context, times *recorder) error {
	ctx = h.run.session.Context(ctx)
	began := time.Now()
	if err := h.kill(ctx); err != nil {
		return err
	}
	if _, err := h.wait(ctx); err != nil {
		return err
	}
	if err := h.delete(ctx); err != nil {
		return err
	}
	times.add(Delete, time.Since(began))
	return nil
}

func (h *heldBox) evict(ctx context.Context) error { return h.remove(h.run.session.Context(ctx)) }
