// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/containerd/errdefs"

	"github.com/sardine-run/sardine/internal/footprint"
	"github.com/sardine-run/sardine/internal/session"
	"github.com/sardine-run/sardine/internal/throwaway"
	"github.com/sardine-run/sardine/internal/tinyimage"
)

// Options of a demonstration.
type Options struct {
	Daemon  string // the sardined to run
	Server  string // program that serves HTTP in a pod when it is called with the argument ServeArgument; "" for no pods
	Runtime string // name of the runtime
	Count   int    // containers
	Workers int    // how many are started at the same time
}

// Validate reports the first thing that keeps the demonstration from running.
func (o Options) Validate() error {
	switch {
	case o.Runtime == "":
		return fmt.Errorf("the runtime name is empty: %w", errdefs.ErrInvalidArgument)
	case o.Count < 1:
		return fmt.Errorf("count is %d, at least 1 container is needed: %w", o.Count, errdefs.ErrInvalidArgument)
	case o.Workers < 1:
		return fmt.Errorf("concurrency is %d, at least 1 is needed: %w", o.Workers, errdefs.ErrInvalidArgument)
	case os.Geteuid() != 0:
		return fmt.Errorf("containers need root here; run it with sudo: %w", errdefs.ErrPermissionDenied)
	}
	return nil
}

// Run performs the demonstration and removes everything it made, also when ctx
// is cancelled.
func Run(ctx context.Context, o Options, display *Display) (err error) {
	if err := o.Validate(); err != nil {
		return err
	}
	// The daemon has another working directory to look in than we.
	if o.Daemon, err = filepath.Abs(o.Daemon); err != nil {
		return err
	}
	before, err := footprint.Processes()
	if err != nil {
		return err
	}
	host, daemon, err := startApart(ctx, o.Daemon)
	if err != nil {
		return err
	}
	defer host.Close()
	display.Line("started a private %s in %s, ready in %s", filepath.Base(o.Daemon), daemon.Dir, ms(daemon.StartUp))
	show := &show{options: o, display: display, daemon: daemon, host: host, processesBefore: before}
	if err := errors.Join(show.run(ctx), daemon.Stop()); err != nil {
		return err
	}
	return show.reportAfter()
}

// show is one demonstration.
type show struct {
	options Options
	display *Display
	daemon  *throwaway.Daemon
	host    *os.File // network namespace of the daemon
	session *session.Session

	processesBefore int
}

func (s *show) run(ctx context.Context) error {
	began := time.Now()
	opened, err := session.Open(ctx, session.Where{
		Address: s.daemon.Socket,
		// The name is that of a cgroup too, and so unique on the machine.
		Namespace: filepath.Base(s.daemon.Dir),
	})
	if err != nil {
		return err
	}
	s.session = opened
	s.display.Line("imported %s (a program of %d bytes) in %s, snapshotter %s",
		tinyimage.Name, s.programSize(), ms(time.Since(began)), opened.Snapshotter())
	return errors.Join(s.perform(s.session.Context(ctx)), s.session.Close(ctx))
}

func (s *show) programSize() int {
	program, _ := tinyimage.Program(runtime.GOARCH) // it was imported
	return len(program)
}

// perform starts, measures, talks and deletes. What is left by an error goes
// with the session.
func (s *show) perform(ctx context.Context) error {
	before, err := footprint.Take(s.daemon.PID, nil)
	if err != nil {
		return err
	}
	fleet := &fleet{show: s}
	if err := fleet.start(ctx); err != nil {
		return err
	}
	if err := s.reportMemory(fleet, before); err != nil {
		return err
	}
	if err := s.talk(ctx, fleet); err != nil {
		return err
	}
	if err := fleet.delete(ctx); err != nil || s.options.Server == "" {
		return err
	}
	return s.showPod(ctx)
}

// reportMemory waits a little: the daemon's last buffers are freed, and the
// kernel's counters of available memory are brought up to date.
func (s *show) reportMemory(f *fleet, before footprint.Sample) error {
	time.Sleep(time.Second)
	while, err := footprint.Take(s.daemon.PID, f.pids())
	if err != nil {
		return err
	}
	n := float64(len(f.members))
	s.display.Line("  memory: %.0f KB of the node per container, %.0f KB of that in the daemon (%.1f MB in all)",
		float64(before.Available-while.Available)/n, float64(while.DaemonRSS-before.DaemonRSS)/n, float64(while.DaemonRSS)/1024)
	s.display.Line("  processes: %d on the node before, %d now: %d containers, 1 daemon, %d beside them (shims, pause)",
		s.processesBefore, while.Processes, len(f.members), while.Helpers)
	s.display.Line("  host mount table: %d entries before, %d now", before.Mounts, while.Mounts)
	return nil
}

// reportAfter looks at the node once the daemon is gone.
func (s *show) reportAfter() error {
	after, err := footprint.Processes()
	if err != nil {
		return err
	}
	s.display.Line("stopped the daemon and removed %s; processes on the node: %d before, %d after", s.daemon.Dir, s.processesBefore, after)
	return nil
}

func ms(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
