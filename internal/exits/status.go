// SPDX-License-Identifier: Apache-2.0

package exits

import (
	"syscall"
	"time"

	"github.com/sardine-run/sardine/internal/kernel"
)

// Source says who knew the status.
type Source string

const (
	SourceWaitid  Source = "waitid"  // the process was a child, now reaped
	SourceBPF     Source = "bpf"     // the eBPF program's record
	SourcePidfd   Source = "pidfd"   // PIDFD_GET_INFO, Linux 6.15
	SourceProcfs  Source = "procfs"  // /proc/PID/stat of a zombie nobody reaped yet
	SourceUnknown Source = "unknown" // nobody: Code is CodeUnknown, Reason says why
)

// CodeUnknown is the exit code of a process whose status is lost.
const CodeUnknown = 255

// Status is how a process ended.
type Status struct {
	// Code is 0 to 255: the exit code, or 128 plus the signal that ended the process,
	// as containerd reports it.
	Code uint32
	// Signal is the signal that ended the process, 0 if it exited by itself.
	Signal syscall.Signal
	// At is when it ended, by the kernel's clock when the eBPF program runs, otherwise
	// when this package learned of it.
	At     time.Time
	Source Source
	// Reason is set with SourceUnknown only: a sentence for the user.
	Reason string
}

// newStatus translates the kernel's answer.
func newStatus(exit kernel.ExitStatus, at time.Time, source Source) Status {
	const signalBase = 128
	status := Status{Code: exit.Code, Signal: exit.Signal, At: at, Source: source}
	if exit.Signal != 0 {
		status.Code = signalBase + uint32(exit.Signal)
	}
	return status
}

// unknownStatus is the answer when nobody knows.
func unknownStatus(reason string) Status {
	return Status{Code: CodeUnknown, At: time.Now(), Source: SourceUnknown, Reason: reason}
}
