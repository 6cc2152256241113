// SPDX-License-Identifier: Apache-2.0

package kernel

import "golang.org/x/sys/unix"

// YieldDisk has the calling thread's input and output come after everybody else's of the best-effort class: ioprio_set(2). The
// idle class is not for one that deletes files: it would wait with locks of the file system in its hands.
func YieldDisk() error {
	const whoProcess, bestEffort, lowest, classShift = 1, 2, 7, 13
	_, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, whoProcess, 0, bestEffort<<classShift|lowest)
	if errno != 0 {
		return wrap("ioprio_set", "", errno)
	}
	return nil
}
