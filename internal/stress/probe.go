// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/sardine-run/sardine/internal/footprint"
)

// ProbeResult says what executing a command in running pods took. The time of
// each is in the phase Exec.
type ProbeResult struct {
	Pods     int     `json:"pods"`
	Command  string  `json:"command"`
	Every    float64 `json:"everySeconds,omitempty"` // Options.Every
	Seconds  float64 `json:"seconds"`
	Executed int     `json:"executed"` // without an error
	Rate     float64 `json:"perSecond"`

	// CPU time of the daemon alone, and of the daemon with its helper processes
	// and everything they have waited for: shims, runc and the commands.
	Daemon  Spent `json:"daemonCPU"`
	Runtime Spent `json:"runtimeCPU"`
}

// Spent is CPU time, by what was done and by how long it took.
type Spent struct {
	Per1000 float64 `json:"secondsPer1000"`
	Percent float64 `json:"percentOfCore"`
}

// probe starts pods, executes the command in them and removes them.
func (r *run) probe(ctx context.Context) error {
	pods := r.raisePods(ctx, r.options.Probe)
	err := r.probePods(ctx, pods)
	r.removePods(ctx, pods)
	return err
}

func (r *run) probePods(ctx context.Context, pods []*pod) error {
	if len(pods) == 0 {
		return nil // the errors are in the result
	}
	pids := make([]int, len(pods))
	for i, p := range pods {
		var err error
		if pids[i], err = p.processOf(ctx); err != nil {
			return err
		}
	}
	// The daemon's time is read last, and first at the end: what has it for a part is never less.
	runtimeBefore, err := footprint.RuntimeTime(r.daemon, pids)
	if err != nil {
		return fmt.Errorf("read CPU use: %w", err)
	}
	daemonBefore, err := footprint.Usage(r.daemon)
	if err != nil {
		return fmt.Errorf("read CPU use: %w", err)
	}
	times, elapsed := r.execIn(ctx, pods)
	daemon, err := daemonBefore.Since()
	if err != nil {
		return fmt.Errorf("read CPU use: %w", err)
	}
	runtime, err := footprint.RuntimeTime(r.daemon, pids)
	if err != nil {
		return fmt.Errorf("read CPU use: %w", err)
	}
	r.result.addTimes(&times, elapsed)
	executed := len(times[Exec])
	r.result.Probe = &ProbeResult{
		Pods: len(pods), Command: strings.Join(r.options.command(), " "), Every: r.options.Every.Seconds(),
		Seconds: milliseconds(elapsed) / 1000, Executed: executed, Rate: rate(executed, elapsed),
		Daemon: spent(daemon.Daemon, executed, elapsed), Runtime: spent(runtime-runtimeBefore, executed, elapsed),
	}
	return nil
}

// execIn ends when all is executed or the duration is over, with ctx, and after
// too many errors.
func (r *run) execIn(ctx context.Context, pods []*pod) (recorder, time.Duration) {
	until, n := ctx, len(pods)*r.options.Execs
	if r.options.Execs == 0 {
		var cancel context.CancelFunc
		until, cancel = context.WithTimeout(ctx, r.options.Duration)
		defer cancel()
		n = -1
	}
	if r.options.Every > 0 {
		return share(len(pods), len(pods), func(i int, times *recorder) bool {
			r.execEvery(until, pods[i], r.options.Every*time.Duration(i)/time.Duration(len(pods)), times)
			return true
		})
	}
	return share(r.options.Concurrency, n, func(i int, times *recorder) bool {
		return r.execOnce(until, pods[i%len(pods)], times)
	})
}

// execEvery is a pod's own client. Like a kubelet's it waits for each answer; if
// one comes too late for the next tick, that is left out. The pods' ticks are
// spread by an offset.
func (r *run) execEvery(until context.Context, p *pod, offset time.Duration, times *recorder) {
	select {
	case <-time.After(offset):
	case <-until.Done():
		return
	}
	ticks := time.NewTicker(r.options.Every)
	defer ticks.Stop()
	for n := 1; r.execOnce(until, p, times) && n != r.options.Execs; n++ {
		select {
		case <-ticks.C:
		case <-until.Done():
			return
		}
	}
}

// execOnce says whether to go on. What is under way when the time is over is
// waited for.
func (r *run) execOnce(until context.Context, p *pod, times *recorder) bool {
	if until.Err() != nil || r.failing() {
		return false
	}
	ctx, cancel := r.bounded(until)
	defer cancel()
	r.count(p.config.Metadata.Name, p.exec(ctx, times))
	return true
}

func spent(cpu time.Duration, executed int, elapsed time.Duration) Spent {
	s := Spent{Percent: round(100 * cpu.Seconds() / elapsed.Seconds())}
	if executed > 0 {
		s.Per1000 = round(1000 * cpu.Seconds() / float64(executed))
	}
	return s
}

// round leaves three decimals.
func round(n float64) float64 { return math.Round(n*1000) / 1000 }

func (p *ProbeResult) writeTable(w io.Writer, workers int) {
	how := "by " + plural(workers, "client")
	if p.Every > 0 {
		how = fmt.Sprintf("every %g s in each", p.Every)
	}
	fmt.Fprintf(w, "\n%q in %s %s: %d times in %.1f s, %.1f per second\n", p.Command, plural(p.Pods, "pod"), how, p.Executed, p.Seconds, p.Rate)
	fmt.Fprintf(w, "  CPU of the daemon                          %9.3f s per 1,000, %.2f %% of a core\n", p.Daemon.Per1000, p.Daemon.Percent)
	fmt.Fprintf(w, "  with its helpers and all they waited for   %9.3f s per 1,000, %.2f %% of a core\n", p.Runtime.Per1000, p.Runtime.Percent)
}
