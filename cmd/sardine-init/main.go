// SPDX-License-Identifier: Apache-2.0

// Command sardine-init is the only code of Sardine that runs inside a container: it is
// cloned by sardined, does what the Plan on its control socket says and becomes the
// user's program. As "sardine-init hold" it is pid 1 of a pod whose containers share a
// pid namespace, and as "sardine-init fdstore" it keeps the daemon's descriptors, outside of
// all containers. It is not meant to be started by hand.
//
// It must be linked with -ldflags "-E sardine_entry".
package main

import (
	"os"
	"syscall"

	"github.com/sardine-run/sardine/cmd/sardine-init/entry"
	"github.com/sardine-run/sardine/internal/fdstore/holder"
	"github.com/sardine-run/sardine/internal/setup"
)

// init does everything and does not return. While package initialization runs, the main
// goroutine is locked to the first thread, to which namespaces, credentials and the
// final exec belong. runtime.LockOSThread would do the same and cost a thread more in
// every container: the runtime then keeps one to start others from.
func init() {
	if !entry.Entered() {
		setup.Die("sardine-init was linked without -ldflags \"-E sardine_entry\"")
	}
	switch {
	case len(os.Args) == 2 && os.Args[1] == "hold":
		setup.Hold()
	case len(os.Args) == 4 && os.Args[1] == "fdstore": // not 3, which sardine_entry takes for a namespace to join
		holder.Main(os.Args[2:])
	}
	setup.Run(syscall.Errno(-entry.JoinError()))
}

func main() {}
