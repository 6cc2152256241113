// SPDX-License-Identifier: Apache-2.0

package exits

import (
	"time"

	"github.com/sardine-run/sardine/internal/kernel"
)

// ended finds the status of a process whose pidfd became readable and has it delivered.
// False: not to be had yet.
func (w *Watcher) ended(watch *watch) bool {
	status, ok := w.resolve(watch.id, int(watch.pidfd.Fd()))
	if !ok {
		return false
	}
	w.poller.remove(watch)
	w.deliver(status, watch.fn) // also during Close: it was reaped
	return true
}

// resolve asks everybody who may know, the surest first. False: the process is a child that
// cannot be reaped yet because a debugger holds it.
func (w *Watcher) resolve(id Identity, pidfd int) (status Status, ok bool) {
	w.withRecorder(func(r *recorder) {
		// A process adopted may be a child after all: of a daemon that replaced itself by exec.
		if exit, ended, err := kernel.WaitPidfd(pidfd); err == nil {
			if ok = ended; ok {
				status = reaped(r, id, exit)
			}
			return
		}
		ok = true
		status = w.foreign(r, id, pidfd)
	})
	return status, ok
}

// reaped is the status of a child. The recorder has the time of its end. If the child died
// before it was registered, the recorder learns the status here, for a daemon that dies
// before it has put it down elsewhere.
func reaped(r *recorder, id Identity, exit kernel.ExitStatus) Status {
	status := newStatus(exit, time.Now(), SourceWaitid)
	if recorded, ok := r.status(id); ok {
		status.At = recorded.At
	} else {
		r.note(id, exit)
	}
	return status
}

// foreign is the status of a process that is not a child.
func (w *Watcher) foreign(r *recorder, id Identity, pidfd int) Status {
	if status, ok := r.status(id); ok {
		return status
	}
	if status, ok := fromKernel(id, pidfd); ok {
		return status
	}
	return unknownStatus("the process was not a child of this daemon, " + w.whyUnrecorded() +
		", and this kernel does not tell an exit code by pidfd (Linux 6.15 does)")
}

// fromKernel asks the kernel for the status of a process that is not a child: a reaped one
// by pidfd, a zombie by procfs. As it may be reaped between the two, the pidfd is asked
// again.
func fromKernel(id Identity, pidfd int) (Status, bool) {
	if status, ok := fromPidfd(pidfd); ok {
		return status, true
	}
	stat, err := kernel.ReadProcStat(id.Pid)
	if err == nil && stat.StartTicks == id.StartTicks && stat.Zombie() {
		return newStatus(kernel.WaitStatus(stat.ExitWord), time.Now(), SourceProcfs), true
	}
	return fromPidfd(pidfd)
}

func fromPidfd(pidfd int) (Status, bool) {
	exit, ended, err := kernel.PidfdExitStatus(pidfd)
	if err != nil || !ended {
		return Status{}, false
	}
	return newStatus(exit, time.Now(), SourcePidfd), true
}

// whyUnrecorded continues a sentence about a process the recorder knows nothing of.
func (w *Watcher) whyUnrecorded() string {
	if w.bpfErr != nil {
		return "the eBPF exit recorder is off (" + w.bpfErr.Error() + ")"
	}
	return "the eBPF exit recorder has no record of it"
}
