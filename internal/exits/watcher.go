// SPDX-License-Identifier: Apache-2.0

package exits

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	runtimedebug "runtime/debug"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/containerd/errdefs"

	"github.com/sardine-run/sardine/internal/kernel"
)

// Options of a Watcher.
type Options struct {
	// BPFDir is a directory on a bpffs, made if missing, for the pins of the eBPF program:
	// one per daemon, or two daemons replace each other's. Empty: no eBPF.
	BPFDir string
	// MountBPFFS is a directory, made if missing, on which New mounts a bpffs unless it is
	// one already. Empty: New mounts nothing. The mount stays after Close.
	MountBPFFS string
	// Log gets the warnings. Nil: they are dropped.
	Log *slog.Logger
}

// Watcher calls back when processes end. Its methods may be called concurrently.
type Watcher struct {
	log      *slog.Logger
	poller   *poller
	dispatch dispatcher
	counts   counts

	loading  sync.WaitGroup // open
	opened   chan struct{}  // closed when bpfErr and recorder are set
	bpfErr   error          // why there is no recorder
	unwanted unwanted       // what is dropped from the recorder once it is open

	// mu guards recorder against Close. It is not held during callbacks and taken before
	// any lock of poller.
	mu       sync.RWMutex
	recorder *recorder // nil without eBPF and after Close
}

// New starts a Watcher; the caller closes it. Without eBPF, for want of BTF, of a bpffs or
// of privileges, it works with less: see [Watcher.BPF].
//
// The first load of the eBPF program on a machine takes some 30 ms, most of them to decode
// the kernel's types. It goes on in the background; the first Watch waits for it. Close waits, too.
func New(opts Options) (*Watcher, error) {
	poller, err := newPoller()
	if err != nil {
		return nil, fmt.Errorf("watch for exits: %w", err)
	}
	w := &Watcher{log: opts.Log, poller: poller, opened: make(chan struct{})}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	w.loading.Go(func() { w.open(opts) })
	go poller.run(w.ended)
	return w, nil
}

func (w *Watcher) open(opts Options) {
	recorder, err := openRecorder(opts)
	w.recorder, w.bpfErr = recorder, err
	if opts.BPFDir != "" && err != nil {
		w.log.Warn("exit codes of containers that end while the daemon is down may be lost", "error", err)
	}
	w.unwanted.drop(recorder)
	close(w.opened)
	if recorder != nil && recorder.decoded {
		runtimedebug.FreeOSMemory() // an idle daemon would hold it until the next collection
	}
}

// withRecorder calls fn with the recorder, nil if there is none. It stays open meanwhile.
func (w *Watcher) withRecorder(fn func(*recorder)) {
	<-w.opened
	w.mu.RLock()
	defer w.mu.RUnlock()
	fn(w.recorder)
}

// BPF returns nil when the eBPF program records exits, otherwise why it does not. What is
// lost then is the status of a process that ended while no daemon ran, on kernels before
// 6.15 or without a stored pidfd. It waits for the load.
func (w *Watcher) BPF() error {
	<-w.opened
	return w.bpfErr
}

// Child is a child process of the daemon that was not reaped yet.
type Child struct {
	Identity
	Pidfd *os.File
}

// Watch reaps child when it ends and calls fn once with its status. To lose no status to a
// crash of the daemon, call it before the child runs code that may exit.
//
// Callbacks run in goroutines of the Watcher, sixteen at most at a time, in no certain
// order, perhaps before Watch returns. fn may take locks and do I/O but must come to an end
// by itself, and must not call Close.
//
// child.Pidfd passes to the Watcher, also on error. Then fn is not called and the child not
// reaped. The status stays in the eBPF map until [Watcher.Forget].
func (w *Watcher) Watch(child Child, fn func(Status)) error {
	w.track(child.Identity)
	return w.add(&watch{id: child.Identity, pidfd: child.Pidfd, fn: fn})
}

// Adopt calls fn once with the status of a process that an earlier daemon has started, when
// it ends or at once if it has. Rules for fn as for [Watcher.Watch].
//
// pidfd is a descriptor kept of that process, or nil; it passes to the Watcher. Without one
// the process is looked for by its pid, and one that has the same pid but started at another
// time counts as another.
func (w *Watcher) Adopt(id Identity, pidfd *os.File, fn func(Status)) error {
	if pidfd == nil {
		var err error
		if pidfd, err = openPidfd(id); errors.Is(err, errdefs.ErrNotFound) {
			return w.gone(id, fn)
		} else if err != nil {
			return fmt.Errorf("adopt process: %w", err)
		}
	}
	w.track(id)
	return w.add(&watch{id: id, pidfd: pidfd, fn: fn})
}

// openPidfd returns a pidfd of the process id, errdefs.ErrNotFound if it was reaped.
func openPidfd(id Identity) (*os.File, error) {
	fd, err := kernel.PidfdOpen(id.Pid)
	// EINVAL: the pid is now that of a thread.
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("%s: %w", id, errdefs.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	pidfd := os.NewFile(uintptr(fd), "pidfd")
	// Only now: had the pid changed hands before the open, it would show.
	if !id.runs() {
		pidfd.Close()
		return nil, fmt.Errorf("%s: %w", id, errdefs.ErrNotFound)
	}
	return pidfd, nil
}

// gone reports a process of which nothing is left to wait for.
func (w *Watcher) gone(id Identity, fn func(Status)) error {
	w.withRecorder(func(r *recorder) {
		status, ok := r.status(id)
		if !ok {
			status = unknownStatus("the process ended while no daemon was there to wait for it, and " + w.whyUnrecorded())
		}
		w.deliver(status, fn)
	})
	return nil
}

// Remembers reports whether the eBPF map has the status of a process that has ended: a later daemon finds it there.
func (w *Watcher) Remembers(id Identity) (known bool) {
	w.withRecorder(func(r *recorder) { _, known = r.status(id) })
	return known
}

// Forget drops the record of a process whose status the caller has put down elsewhere or
// does not want. Without it the record occupies one of 65,536 places until reboot.
func (w *Watcher) Forget(id Identity) {
	w.withRecorder(func(r *recorder) { r.forget(id) })
}

// Prune forgets all processes but those that keep reports true for. It is for the start of
// a daemon, before any Watch: a crash may have left records nobody will ask for. It does not wait for the load, which then
// is over when the others are forgotten, and keep called until then.
func (w *Watcher) Prune(keep func(Identity) bool) {
	if !w.unwanted.later(keep) {
		w.withRecorder(func(r *recorder) { r.prune(keep) })
	}
}

// Close stops watching: it ends the Watcher's goroutines, waits for the callbacks of exits
// already seen, and closes the pidfds of processes that still run, whose callbacks are
// never called. The eBPF program goes on recording them; if there is none left it is
// unloaded. Calling Close again does nothing.
func (w *Watcher) Close() error {
	w.poller.close()
	w.dispatch.wait()
	w.loading.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.recorder.close()
	w.recorder = nil
	return err
}

func (w *Watcher) track(id Identity) {
	w.withRecorder(func(r *recorder) {
		if err := r.track(id); err != nil {
			w.log.Warn("exit code will be lost if the daemon is down when the process ends", "pid", id.Pid, "error", err)
		}
	})
}

// add hands watch over to the poller.
func (w *Watcher) add(watch *watch) error {
	if err := w.poller.add(watch); err != nil {
		watch.pidfd.Close()
		return fmt.Errorf("watch process %d: %w", watch.id.Pid, err)
	}
	return nil
}
