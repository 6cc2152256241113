// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/sardine-run/sardine/internal/footprint"
	"github.com/sardine-run/sardine/internal/session"
)

// Run performs the workload and removes everything it made, also when ctx is
// cancelled: then the containers under way are finished and the result says
// that it was interrupted. Errors of single containers are counted in the
// result; the error returned is about the run as a whole.
func Run(ctx context.Context, o Options) (*Result, error) { return RunWhile(ctx, o, nil) }

// RunWhile is Run that calls while, which may be nil, when all that are to be
// held (Options.Hold) are up and were measured, before they are removed. It may
// replace the daemon.
func RunWhile(ctx context.Context, o Options, while func(context.Context) error) (*Result, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.CRI {
		return runPods(ctx, o, while)
	}
	s, err := session.Open(ctx, session.Where{
		Address:     o.Address,
		Namespace:   o.Namespace,
		Snapshotter: o.Snapshotter,
		Image:       o.Image,
	})
	if err != nil {
		return nil, err
	}
	result, err := runIn(ctx, s, o, while)
	return result, errors.Join(err, s.Close(ctx))
}

func runIn(ctx context.Context, s *session.Session, o Options, while func(context.Context) error) (*Result, error) {
	daemon, err := footprint.DaemonOf(o.Address)
	if err != nil {
		return nil, err
	}
	r := &run{session: s, options: o, while: while, daemon: daemon, result: &Result{
		Address:       o.Address,
		DaemonVersion: s.Version.Version,
		Runtime:       o.Runtime,
		Snapshotter:   s.Snapshotter(),
		Concurrency:   o.Concurrency,
		Library:       o.Library,
	}}
	if o.Hold > 0 {
		err = r.hold(ctx, raiseBox)
	} else {
		err = r.lives(ctx, (*worker).life)
	}
	r.result.Interrupted = ctx.Err() != nil
	return r.result, err
}

// run is one execution of a workload.
type run struct {
	session *session.Session // nil where pods live
	pods    *podClient       // nil where containers do
	options Options
	while   func(context.Context) error // see RunWhile
	daemon  int                         // process id

	mu     sync.Mutex // guards the fields below
	taken  int        // containers begun, against options.Count
	result *Result
}

// lives runs one life after the other on all workers.
func (r *run) lives(ctx context.Context, life func(w *worker, ctx context.Context, id string) error) error {
	until := ctx
	if r.options.Count == 0 {
		var cancel context.CancelFunc
		until, cancel = context.WithTimeout(ctx, r.options.Duration)
		defer cancel()
	}
	return r.timed(func(w *worker) {
		for until.Err() == nil && r.take(r.options.Count) {
			id := w.nextID()
			r.count(id, life(w, ctx, id))
		}
	})
}

// timed runs body on all workers at once, each with a recorder of its own, and
// puts times, rates and CPU use into the result.
func (r *run) timed(body func(*worker)) error {
	before, err := footprint.Usage(r.daemon)
	if err != nil {
		return fmt.Errorf("read CPU use: %w", err)
	}
	workers := make([]*worker, r.options.Concurrency)
	began := time.Now()
	var running sync.WaitGroup
	for i := range workers {
		workers[i] = &worker{run: r, id: i}
		running.Go(func() { body(workers[i]) })
	}
	running.Wait()
	elapsed := time.Since(began)
	used, err := before.Since()
	if err != nil {
		return fmt.Errorf("read CPU use: %w", err)
	}
	var times recorder
	for _, w := range workers {
		times.merge(&w.times)
	}
	r.result.setTimes(&times, elapsed)
	if n := r.result.Containers; n > 0 {
		r.result.ClientCPU = perContainer(used.Self, n)
		r.result.DaemonCPU = perContainer(used.Daemon, n)
	}
	return nil
}

func perContainer(d time.Duration, containers int) float64 {
	return math.Round(milliseconds(d)/float64(containers)*1000) / 1000
}

// take claims one of limit containers; zero is no limit. It refuses when the
// run has seen too many errors, so that a broken daemon ends it.
func (r *run) take(limit int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if limit > 0 && r.taken >= limit || r.result.Errors >= r.options.MaxErrors {
		return false
	}
	r.taken++
	return true
}

// failing says that the run has seen too many errors to go on.
func (r *run) failing() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.result.Errors >= r.options.MaxErrors
}

func (r *run) count(id string, err error) {
	if err == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.addError(id, err)
}
