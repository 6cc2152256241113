// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/sardine-run/sardine/internal/footprint"
)

// HoldResult says what a number of idle containers cost the node.
type HoldResult struct {
	Running int              `json:"running"` // containers that were up
	Before  footprint.Sample `json:"before"`
	While   footprint.Sample `json:"while"`
	After   footprint.Sample `json:"after"` // deleted again

	// KB per container: of the node's available memory, of the daemon's
	// resident memory, and of that plus the daemon's helper processes.
	NodeKB    float64 `json:"nodeKBPerContainer"`
	DaemonKB  float64 `json:"daemonKBPerContainer"`
	RuntimeKB float64 `json:"runtimeKBPerContainer"`

	Mounts  float64 `json:"mountsPerContainer"`
	Helpers float64 `json:"helpersPerContainer"`
}

// settle lets a daemon finish what it does after the last answer.
const settle = time.Second

// hold starts the containers, measures, and deletes them. The times of Start
// and before are of the way up, those of Delete of the way down.
func (r *run) hold(ctx context.Context) error {
	held := &HoldResult{}
	var err error
	if held.Before, err = r.sample(nil); err != nil {
		return err
	}
	var up heldContainers
	err = r.timed(func(w *worker) {
		for ctx.Err() == nil && r.take(r.options.Hold) {
			id := w.nextID()
			b, err := w.startHeld(ctx, id)
			r.count(id, err)
			if b != nil {
				up.add(b)
			}
		}
	})
	if err == nil {
		held.While, err = r.sample(up.pids())
	}
	r.deleteHeld(ctx, up.boxes)
	if err != nil {
		return err
	}
	if held.After, err = r.sample(nil); err != nil {
		return err
	}
	held.Running = len(up.boxes)
	held.divide()
	r.result.Hold = held
	return nil
}

func (r *run) sample(containers []int) (footprint.Sample, error) {
	time.Sleep(settle)
	return footprint.Take(r.daemon, containers)
}

// deleteHeld deletes on all workers and adds the Delete phase to the result.
func (r *run) deleteHeld(ctx context.Context, boxes []box) {
	began := time.Now()
	var running sync.WaitGroup
	recorders := make([]recorder, r.options.Concurrency)
	for i := range recorders {
		running.Go(func() {
			for n := i; n < len(boxes); n += len(recorders) {
				r.count("", r.deleteOne(ctx, boxes[n], &recorders[i]))
			}
		})
	}
	running.Wait()
	var times recorder
	for i := range recorders {
		times.merge(&recorders[i])
	}
	if len(times[Delete]) > 0 {
		d := distribution(times[Delete], time.Since(began))
		r.result.Phases = append(r.result.Phases, PhaseResult{Name: Delete.String(), Distribution: d})
	}
}

func (r *run) deleteOne(ctx context.Context, b box, times *recorder) error {
	ctx, cancel := r.bounded(r.session.Context(ctx))
	defer cancel()
	began := time.Now()
	if err := r.end(ctx, b); err != nil {
		return errors.Join(err, b.remove(ctx))
	}
	times.add(Delete, time.Since(began))
	return nil
}

// end is the second half of a life.
func (r *run) end(ctx context.Context, b box) error {
	if err := b.kill(ctx); err != nil {
		return err
	}
	if _, err := b.wait(ctx); err != nil {
		return err
	}
	return b.delete(ctx)
}

// startHeld is the first half of a life. The box it returns is nil on error.
func (w *worker) startHeld(ctx context.Context, id string) (box, error) {
	ctx, cancel := w.run.bounded(w.run.session.Context(ctx))
	defer cancel()
	b := newBox(w.run.session, id, w.run.options)
	watch := newStopwatch()
	var times recorder
	if err := rise(ctx, b, sleepArgs, &times, watch); err != nil {
		return nil, errors.Join(err, b.remove(ctx))
	}
	times.add(Total, watch.total())
	w.times.merge(&times)
	return b, nil
}

// heldContainers are those running, added by all workers.
type heldContainers struct {
	mu    sync.Mutex // guards boxes
	boxes []box
}

func (h *heldContainers) add(b box) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.boxes = append(h.boxes, b)
}

func (h *heldContainers) pids() []int {
	pids := make([]int, len(h.boxes))
	for i, b := range h.boxes {
		pids[i] = b.pid()
	}
	return pids
}

func (h *HoldResult) divide() {
	if h.Running == 0 {
		return
	}
	per := func(n int64) float64 { return math.Round(float64(n)/float64(h.Running)*10) / 10 }
	h.NodeKB = per(h.Before.Available - h.While.Available)
	h.DaemonKB = per(h.While.DaemonRSS - h.Before.DaemonRSS)
	h.RuntimeKB = per(h.While.DaemonRSS - h.Before.DaemonRSS + h.While.HelperPSS - h.Before.HelperPSS)
	h.Mounts = per(int64(h.While.Mounts - h.Before.Mounts))
	h.Helpers = per(int64(h.While.Helpers - h.Before.Helpers))
}

func (h *HoldResult) writeTable(w io.Writer) {
	fmt.Fprintf(w, "\n%d containers held, per container:\n", h.Running)
	fmt.Fprintf(w, "  node memory (MemAvailable)  %9.1f KB\n", h.NodeKB)
	fmt.Fprintf(w, "  daemon memory (RSS)         %9.1f KB\n", h.DaemonKB)
	fmt.Fprintf(w, "  daemon and its helpers      %9.1f KB\n", h.RuntimeKB)
	fmt.Fprintf(w, "  helper processes            %9.1f\n", h.Helpers)
	fmt.Fprintf(w, "  host mount table            %9.1f\n", h.Mounts)
	fmt.Fprintf(w, "daemon RSS: %d KB before, %d KB while, %d KB after\n", h.Before.DaemonRSS, h.While.DaemonRSS, h.After.DaemonRSS)
}
