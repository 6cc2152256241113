// SPDX-License-Identifier: Apache-2.0

// Command sardine-init is the only code of Sardine that runs inside a container: it is
// cloned by sardined, does what the Plan on its control socket says and becomes the
// user's program. It is not meant to be started by hand.
//
// It must be linked with -ldflags "-E sardine_entry".
package main

import (
	"runtime"
	"syscall"

	"github.com/sardine-run/sardine/internal/setup"
)

// Set by sardine_entry before the Go runtime starts.
var (
	entered   int32
	joinError int32 // negative errno of joining the namespaces named in argv, or 0
)

// Namespaces, credentials and the final exec belong to one thread, the first.
func init() { runtime.LockOSThread() }

func main() {
	if entered == 0 {
		setup.Die("sardine-init was linked without -ldflags \"-E sardine_entry\"")
	}
	setup.Run(syscall.Errno(-joinError))
}
