// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"os/signal"

	"golang.org/x/sys/unix"
)

// Hold is pid 1 of a pid namespace in which others run their programs. It does not
// return. Orphans need not be waited for: the kernel reaps the children of a process that
// ignores SIGCHLD, wait(2). No signal ends it but the daemon's SIGKILL.
func Hold() {
	signal.Ignore()
	for {
		_ = unix.Pause() // interrupted by SIGCONT
	}
}
