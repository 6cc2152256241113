// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// await returns when the line want appears in cgroup.events of rel, a file of cgroup v2
// that announces its changes by POLLPRI (cgroup-v2.rst).
func (h *hierarchy) await(ctx context.Context, rel, want string) error {
	name := rel + "/cgroup.events"
	fd, err := h.open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	events := os.NewFile(uintptr(fd), h.path(name))
	defer events.Close()
	buf := make([]byte, 256)
	err = kernel.Await(ctx, events, func(fd int) (bool, error) {
		n, err := ignoringEINTR(func() (int, error) { return unix.Pread(fd, buf, 0) })
		if err != nil {
			return false, pathError("read", h.path(name), err)
		}
		return strings.Contains(string(buf[:n]), want+"\n"), nil
	})
	if err != nil {
		return fmt.Errorf("waiting for %q in %s: %w", want, h.path(name), err)
	}
	return nil
}

// awaitTasks returns when everything that is in rel and below at this moment has ended, and reports whether there was
// something. cgroup v1 does not tell when a cgroup is empty, but every process tells its end.
func (h *hierarchy) awaitTasks(ctx context.Context, rel string) (some bool, err error) {
	pids, err := h.pids(rel)
	if err != nil {
		return false, dropGone(err)
	}
	if slices.Contains(pids, os.Getpid()) {
		if some, err = h.awaitOwnThreads(ctx, rel); err != nil {
			return some, err
		}
	}
	inside, err := h.hold(rel, pids)
	defer inside.close()
	if err != nil {
		return some, dropGone(err)
	}
	for pid, fd := range inside {
		if err := kernel.AwaitPidfd(ctx, fd); err != nil {
			return true, fmt.Errorf("waiting for the end of process %d: %w", pid, err)
		}
	}
	return some || len(inside) > 0, nil
}

// awaitOwnThreads returns when the threads of this process are gone that are in rel at this moment, and reports whether there
// were some. Threads that enter clone one child and end.
func (h *hierarchy) awaitOwnThreads(ctx context.Context, rel string) (some bool, err error) {
	tids, err := h.ownThreads(rel)
	for _, tid := range tids {
		fd, err := kernel.PidfdOpenThread(tid)
		switch {
		case errors.Is(err, unix.EINVAL):
			if err := awaitThreadBefore69(ctx, tid); err != nil {
				return true, err
			}
			continue
		case err != nil: // it has ended
			continue
		}
		err = kernel.AwaitPidfd(ctx, fd)
		unix.Close(fd)
		if err != nil {
			return true, fmt.Errorf("a process is still being started in %s: %w", h.path(rel), err)
		}
	}
	return len(tids) > 0, dropGone(err)
}

func (h *hierarchy) ownThreads(rel string) ([]int, error) {
	data, err := h.read(rel + "/tasks")
	if err != nil {
		return nil, err
	}
	tids, err := parsePids(data)
	return slices.DeleteFunc(tids, func(tid int) bool { return !ownThread(tid) }), err
}

func ownThread(tid int) bool {
	return unix.Access("/proc/self/task/"+strconv.Itoa(tid), unix.F_OK) == nil
}

// awaitThreadBefore69 asks again and again: a kernel before Linux 6.9, on which a cgroup v1 host is the only one that comes
// here, has no event for the end of a thread. It comes within a millisecond of a birth.
func awaitThreadBefore69(ctx context.Context, tid int) error {
	for ownThread(tid) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

// held are processes of a cgroup by pidfd.
type held map[int]int

// hold opens those of pids that are in rel. Between the listing and the open a process may have died and its number gone to a
// stranger, so each must still be listed afterwards. The caller closes what is returned, also on error.
func (h *hierarchy) hold(rel string, pids []int) (held, error) {
	all := make(held, len(pids))
	for _, pid := range pids {
		if pid == os.Getpid() {
			continue
		}
		fd, err := kernel.PidfdOpen(pid)
		switch {
		case err == nil:
			all[pid] = fd
		case !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.EINVAL):
			return all, err
		}
	}
	if len(all) == 0 {
		return all, nil
	}
	listed, err := h.pids(rel)
	if err != nil {
		return all, err
	}
	still := make(map[int]bool, len(listed))
	for _, pid := range listed {
		still[pid] = true
	}
	for pid, fd := range all {
		if !still[pid] {
			unix.Close(fd)
			delete(all, pid)
		}
	}
	return all, nil
}

func (h held) close() {
	for _, fd := range h {
		unix.Close(fd)
	}
}

// signal sends sig to all that have not ended.
func (h held) signal(sig unix.Signal) error {
	var errs []error
	for pid, fd := range h {
		if err := kernel.PidfdSendSignal(fd, sig); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("process %d: %w", pid, err))
		}
	}
	return errors.Join(errs...)
}
