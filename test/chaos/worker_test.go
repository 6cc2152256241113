// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	goruntime "runtime"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sardine-run/sardine/internal/testnode"
)

// worker lives through one pod or container after the other.
type worker struct {
	*run
	rng *rand.Rand
}

func newWorker(r *run, number int) *worker {
	return &worker{run: r, rng: rand.New(rand.NewPCG(r.seed, uint64(number)+1))}
}

func (w *worker) work() {
	for !w.over.Load() && w.ctx.Err() == nil {
		if w.with(tasks) && (!w.with(pods) || w.rng.IntN(3) == 0) {
			w.taskLife()
		} else {
			w.podLife()
		}
	}
}

// fail ends the worker, and the round.
func (w *worker) fail(who, format string, args ...any) {
	w.violate(who, format, args...)
	goruntime.Goexit()
}

// alive ends the worker when the round was aborted.
func (w *worker) alive() {
	if w.ctx.Err() != nil {
		goruntime.Goexit()
	}
}

// pause waits up to most; not at all when the time is over.
func (w *worker) pause(most time.Duration) {
	wait := time.Duration(w.rng.Int64N(int64(most)))
	for begin := time.Now(); time.Since(begin) < wait && !w.over.Load(); time.Sleep(min(wait, 20*time.Millisecond)) {
		w.alive()
	}
}

// chance is true in percent of all cases.
func (w *worker) chance(percent int) bool { return w.rng.IntN(100) < percent }

// await waits until something is true.
func (w *worker) await(who, what string, holds func() bool) {
	for begin := time.Now(); !holds(); time.Sleep(20 * time.Millisecond) {
		w.alive()
		if time.Since(begin) > testnode.Patience {
			w.fail(who, "not within %v: %s", testnode.Patience, what)
		}
	}
}

// call makes one call. lost is true when the daemon died before it answered, or did not quite live when
// it was asked: the caller has to find out what has become of it.
func (w *worker) call(who, what string, f func(context.Context) error) (lost bool, err error) {
	w.alive()
	ctx, cancel := context.WithTimeout(w.ctx, testnode.Patience)
	defer cancel()
	w.announce(what)
	before, begin := w.lives.now(), time.Now()
	err = f(ctx)
	took := time.Since(begin).Round(time.Millisecond)
	lost = err != nil && (before == 0 || w.lives.now() != before)
	w.alive()
	if lost {
		w.lost.add(strings.SplitN(what, " ", 2)[0])
	}
	if err != nil || !slices.Contains(looking, what) {
		w.notes.note(who, "%s: %s in %v", what, outcome(err, lost), took)
	}
	if err != nil && (status.Code(err) == codes.DeadlineExceeded || errors.Is(err, context.DeadlineExceeded)) && took >= testnode.Patience {
		w.fail(who, "%s: no answer within %v", what, testnode.Patience)
	}
	return lost, err
}

// announce lets the daemon be killed in the middle of a call that changes something.
func (w *worker) announce(what string) {
	if slices.Contains(looking, what) {
		return
	}
	select {
	case w.begun <- struct{}{}:
	default: // nobody lies in wait
	}
}

// looking are the calls that tell how things are. What they tell is noted when it changes.
var looking = []string{"Get", "ContainerStatus", "PodSandboxStatus"}

func outcome(err error, lost bool) string {
	switch {
	case lost:
		return fmt.Sprintf("lost (%v)", err)
	case err != nil:
		return err.Error()
	}
	return "done"
}

// insist makes a call that can be repeated until it is answered.
func (w *worker) insist(who, what string, f func(context.Context) error) error {
	for {
		lost, err := w.call(who, what, f)
		if !lost {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

// must is insist for calls that must succeed.
func (w *worker) must(who, what string, f func(context.Context) error) {
	if err := w.insist(who, what, f); err != nil {
		w.fail(who, "%s: %v", what, err)
	}
}
