// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// KillTree ends the process and all that it has started: its descendants, and whoever is in a
// session or process group of one of them. What has left by a session of its own after
// its parent's end, as daemons do, cannot be told from the container's other
// processes and is spared. ErrNotFound when the process has ended before;
// ErrUnavailable when one of them does not die, as in a container that is paused.
func (e *Exec) KillTree(ctx context.Context) error {
	c := e.container
	c.mu.Lock()
	// The pid cannot be a stranger's: it was not reaped up to here, and the kernel goes
	// through all other numbers before it uses one again.
	pid, over := e.process.identity.Pid, e.process.ended != nil || e.process.pidfd == nil
	c.mu.Unlock()
	if over {
		return fmt.Errorf("exec %s in container %s: %w", e.process.id, c.key, errFinished)
	}
	t := &tree{pids: c.cgroup.Pids, known: map[int]bool{pid: true}}
	err := t.kill(ctx)
	// It may have gone to another cgroup, where it is not found.
	if kerr := e.Kill(unix.SIGKILL); kerr != nil && !errdefs.IsNotFound(kerr) {
		err = errors.Join(err, kerr)
	}
	if err != nil {
		return fmt.Errorf("exec %s in container %s: end its processes: %w", e.process.id, c.key, err)
	}
	return nil
}

// tree is a process and what it has started.
type tree struct {
	pids func() ([]int, error) // among which they are looked for
	// known are their pids, also those of ended ones, whose numbers sessions and groups keep.
	known map[int]bool
}

// branch is a process of a tree. A pid alone may name another process a moment later.
type branch struct {
	pid   int
	start uint64
}

// Rounds after which a tree is given up: one that forks faster than it can be stopped, or killed.
const (
	stopRounds = 20
	killRounds = 40
)

// dieTime is how long a tree may take until the next of it has died of SIGKILL: thousands take longer on
// a busy node, one after the other, and each may get no processor for seconds.
const dieTime = 10 * time.Second

// kill stops the tree first, so that no parent dies before its children were found, and
// none has a child that is not.
func (t *tree) kill(ctx context.Context) error {
	stopped := map[branch]bool{}
	for range stopRounds {
		fresh, err := t.signal(unix.SIGSTOP, stopped)
		if err != nil {
			return err
		}
		if fresh == 0 {
			break
		}
	}
	for range killRounds {
		alive, err := t.find()
		if len(alive) == 0 || err != nil {
			return err
		}
		if err := killAll(ctx, alive); err != nil {
			return err
		}
	}
	return fmt.Errorf("there are always more: %w", errdefs.ErrUnavailable)
}

// signal sends sig to those that live and are not done, adds them there, and returns how
// many there were.
func (t *tree) signal(sig unix.Signal, done map[branch]bool) (int, error) {
	alive, err := t.find()
	if err != nil {
		return 0, err
	}
	var errs []error
	sent := 0
	for _, b := range alive {
		if !done[b] {
			done[b] = true
			sent++
			errs = append(errs, b.signal(sig))
		}
	}
	return sent, errors.Join(errs...)
}

// find returns the processes of the tree that live.
func (t *tree) find() ([]branch, error) {
	pids, err := t.pids()
	if err != nil {
		return nil, err
	}
	others := make(map[int]kernel.ProcStat, len(pids))
	for _, pid := range pids {
		if s, err := kernel.ReadProcStat(pid); err == nil {
			others[pid] = s
		}
	}
	return t.claim(others), nil
}

// claim takes those that belong to the tree out of others, and returns the ones that live.
func (t *tree) claim(others map[int]kernel.ProcStat) []branch {
	var alive []branch
	for grown := true; grown; {
		grown = false
		for pid, s := range others {
			if !t.known[pid] && !t.known[s.PPid] && !t.known[s.Session] && !t.known[s.Group] {
				continue
			}
			grown = true
			t.known[pid] = true
			delete(others, pid)
			if !s.Zombie() {
				alive = append(alive, branch{pid, s.StartTicks})
			}
		}
	}
	return alive
}

// killAll kills the processes, and returns when they have ended. There may be more of them than
// descriptors, of which it has one at a time.
func killAll(ctx context.Context, all []branch) error {
	for _, b := range all {
		if err := b.signal(unix.SIGKILL); err != nil {
			return err
		}
	}
	for _, b := range all {
		if err := b.await(ctx); err != nil {
			return err
		}
	}
	return nil
}

// signal sends sig to the process unless it has ended.
func (b branch) signal(sig unix.Signal) error {
	pidfd, err := b.open()
	if err != nil {
		return ignoreEnded(err)
	}
	defer unix.Close(pidfd)
	return ignoreEnded(kernel.PidfdSendSignal(pidfd, sig))
}

// await returns when the process has ended: ErrUnavailable when it does not within dieTime.
func (b branch) await(ctx context.Context) error {
	pidfd, err := b.open()
	if err != nil {
		return ignoreEnded(err)
	}
	defer unix.Close(pidfd)
	ctx, cancel := context.WithTimeoutCause(ctx, dieTime, fmt.Errorf("some do not die: %w", errdefs.ErrUnavailable))
	defer cancel()
	return kernel.AwaitPidfd(ctx, pidfd)
}

// open returns a pidfd of the process, ESRCH when it has ended.
func (b branch) open() (int, error) {
	pidfd, err := kernel.PidfdOpen(b.pid)
	if err != nil {
		return -1, err
	}
	s, err := kernel.ReadProcStat(b.pid) // of what pidfd holds, or of nothing
	if err == nil && s.StartTicks != b.start {
		err = unix.ESRCH
	}
	if err != nil {
		unix.Close(pidfd)
		return -1, err
	}
	return pidfd, nil
}

func ignoreEnded(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}
