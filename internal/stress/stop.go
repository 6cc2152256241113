// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"context"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/containerd/errdefs"

	"github.com/sardine-run/sardine/internal/footprint"
)

// StopResult says how long it took to stop a number of pods.
type StopResult struct {
	Pods    int     `json:"pods"` // that stopped without an error
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"perSecond"`
}

// grace is what a program has between SIGTERM and SIGKILL, in seconds: what a
// kubelet gives by default.
const grace = 30

// handlerPatience bounds the wait for a program that has just been started to
// set up its handler of SIGTERM.
const handlerPatience = 10 * time.Second

// stop starts pods, stops them on all workers and removes them. Of that,
// stopping is what the result is about.
func (r *run) stop(ctx context.Context) error {
	pods := r.raisePods(ctx, r.options.Stop)
	err := awaitHandlers(ctx, pods)
	if err == nil && ctx.Err() == nil {
		r.stopPods(ctx, pods)
	}
	r.removePods(ctx, pods)
	return err
}

func (r *run) stopPods(ctx context.Context, pods []*pod) {
	times, elapsed := share(r.options.Concurrency, len(pods), func(i int, times *recorder) bool {
		ctx, cancel := r.bounded(ctx)
		defer cancel()
		r.count(pods[i].config.Metadata.Name, pods[i].stop(ctx, grace, times, newStopwatch()))
		return true
	})
	r.result.addTimes(&times, elapsed)
	stopped := len(times[StopPodSandbox])
	r.result.Stop = &StopResult{Pods: stopped, Seconds: milliseconds(elapsed) / 1000, Rate: rate(stopped, elapsed)}
}

// awaitHandlers waits until the programs have handlers of SIGTERM. Without one,
// the first process of a pid namespace does not get that signal, and the grace
// would be what is measured.
func awaitHandlers(ctx context.Context, pods []*pod) error {
	for _, p := range pods {
		if err := p.awaitHandler(ctx); err != nil {
			if ctx.Err() != nil {
				return nil // interrupted
			}
			return err
		}
	}
	return nil
}

// awaitHandler looks again and again: nothing tells that a process has set up a
// handler. Each program has its own time, as the server is asked for each one's process.
func (p *pod) awaitHandler(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, handlerPatience)
	defer cancel()
	pid, err := p.processOf(ctx)
	if err != nil {
		return err
	}
	for {
		catches, err := footprint.Catches(pid, syscall.SIGTERM)
		if err != nil {
			return fmt.Errorf("program of pod %s: %w", p.config.Metadata.Name, err)
		}
		if catches {
			return nil
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("sleep of image %s does not handle SIGTERM: a stop would take the %d s until SIGKILL; name an image whose sleep does: %w",
				p.client.image, grace, errdefs.ErrFailedPrecondition)
		}
	}
}

func (s *StopResult) writeTable(w io.Writer, workers int) {
	fmt.Fprintf(w, "\n%s stopped by %s in %.3f s: %.1f per second\n", plural(s.Pods, "pod"), plural(workers, "worker"), s.Seconds, s.Rate)
}
