// SPDX-License-Identifier: Apache-2.0

// Package entry is what sardine-init does before the Go runtime starts, in assembly, and what it undoes right
// afterwards. The program must be linked with -ldflags "-E sardine_entry".
//
// The start of the runtime is most of what sardine-init costs, in every container and every exec. Two parts of it are of
// no use in a process that works on one thread for a millisecond:
//
//   - It reads /proc/self/cgroup and /proc/self/mountinfo to find out how many processors it may use, although it
//     was told in GOMAXPROCS: a tenth of the time, and more on a node with many mounts. There is no switch. But it does
//     without when it cannot open them, so RLIMIT_NOFILE is 0 meanwhile.
//   - A thread of its own wakes up every 20 µs to see whether something hangs. It inherits a timer slack with which the
//     kernel lets it sleep.
//
// Restored are both before the first package is initialized that could notice: those without imports come first, in
// the order of their paths, and syscall imports others. The package must not import anything.
package entry

// Set by sardine_entry.
var (
	entered   int32
	joinError int32
)

// What sardine_entry and restore know about RLIMIT_NOFILE.
//
//nolint:unused // in assembly
var (
	limited int32     // it is to be restored
	files   [2]uint64 // soft and hard limit, as they were
	none    [2]uint64 // as they are meanwhile
)

func init() {
	if entered != 0 {
		restore()
	}
}

// restore gives this thread its timer slack and the process its limit of open files back.
func restore()

// Entered reports whether the program began at sardine_entry.
func Entered() bool { return entered != 0 }

// JoinError is what joining the namespaces named in argv has returned: a negative errno, or 0.
func JoinError() int32 { return joinError }
