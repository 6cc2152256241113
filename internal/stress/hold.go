// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sardine-run/sardine/internal/footprint"
)

// tenant is a container, or a pod with one, that stays.
type tenant interface {
	processOf(ctx context.Context) (int, error) // first process of its container
	leave(ctx context.Context, times *recorder) error
	evict(ctx context.Context) error // removes whatever there is, after an error
}

// raise starts a tenant and records how long its steps took. Of one that failed
// nothing is left.
type raise func(ctx context.Context, r *run, id string, times *recorder) (tenant, error)

// hold starts the tenants, measures, and deletes them. The times of Start
// and before are of the way up, those of Delete of the way down.
func (r *run) hold(ctx context.Context, up raise) error {
	held := &HoldResult{}
	wait(ctx, min(r.options.Idle, Rest))
	var err error
	if held.Before, err = footprint.Settled(r.daemon, nil); err != nil {
		return err
	}
	var all tenants
	err = r.timed(func(w *worker) {
		for ctx.Err() == nil && r.take(r.options.Hold) {
			id := w.nextID()
			var times recorder
			one, err := up(ctx, r, id, &times)
			r.count(id, err)
			if one != nil {
				w.times.merge(&times)
				all.add(one, &times)
			}
		}
	})
	if err == nil {
		err = r.observe(ctx, held, &all)
	}
	r.evict(ctx, all.list)
	if err != nil {
		return err
	}
	if held.After, err = footprint.Settled(r.daemon, nil); err != nil {
		return err
	}
	held.divide()
	r.result.Hold = held
	return nil
}

// Rest is how long a daemon may need to let go of what it has used for its work: ours does so after ten seconds.
const Rest = 15 * time.Second

// observe measures while the tenants do nothing, and memory at the end of that.
func (r *run) observe(ctx context.Context, held *HoldResult, all *tenants) error {
	held.Running = len(all.list)
	held.setReady(&all.times)
	pids, err := all.processes(ctx)
	if err != nil {
		return err
	}
	if held.Idle, err = r.idle(ctx); err != nil {
		return err
	}
	if held.While, err = footprint.Settled(r.daemon, pids); err != nil {
		return err
	}
	if r.while == nil {
		return nil
	}
	if err := r.while(ctx); err != nil {
		return err
	}
	return r.findDaemon() // it may be another process by now
}

// idle measures the daemon's use of CPU time; nil when that is not wanted.
func (r *run) idle(ctx context.Context) (*IdleResult, error) {
	if r.options.Idle == 0 {
		return nil, nil
	}
	before, err := footprint.Usage(r.daemon)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	wait(ctx, r.options.Idle)
	elapsed := time.Since(began)
	used, err := before.Since()
	if err != nil {
		return nil, err
	}
	sample, err := footprint.Take(r.daemon, nil)
	if err != nil {
		return nil, err
	}
	return &IdleResult{
		Seconds:   milliseconds(elapsed) / 1000,
		DaemonCPU: 100 * used.Daemon.Seconds() / elapsed.Seconds(),
		DaemonRSS: sample.DaemonRSS,
	}, nil
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func (r *run) findDaemon() (err error) {
	r.daemon, err = footprint.DaemonOf(r.options.Address)
	return err
}

// evict deletes on all workers and adds the times of that to the result.
func (r *run) evict(ctx context.Context, all []tenant) {
	times, elapsed := share(r.options.Concurrency, len(all), func(i int, times *recorder) bool {
		r.count("", r.evictOne(ctx, all[i], times))
		return true
	})
	r.result.addTimes(&times, elapsed)
}

func (r *run) evictOne(ctx context.Context, one tenant, times *recorder) error {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	err := one.leave(ctx, times)
	if err == nil {
		return nil
	}
	if left := one.evict(ctx); left != nil {
		return fmt.Errorf("%w; then %w", err, left)
	}
	return err
}

// tenants are those running, added by all workers in the order in which they
// were ready.
type tenants struct {
	mu    sync.Mutex // guards the fields below
	list  []tenant
	times recorder
}

func (t *tenants) add(one tenant, times *recorder) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = append(t.list, one)
	t.times.merge(times)
}

func (t *tenants) processes(ctx context.Context) ([]int, error) {
	pids := make([]int, len(t.list))
	for i, one := range t.list {
		var err error
		if pids[i], err = one.processOf(ctx); err != nil {
			return nil, err
		}
	}
	return pids, nil
}
