// SPDX-License-Identifier: Apache-2.0

// Command sardined is the Sardine daemon: a containerd server that runs
// containers itself, with no process of its own beside each of them.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"

	"github.com/sardine-run/sardine/internal/fdstore"
	"github.com/sardine-run/sardine/internal/server"
)

// init ties the main goroutine to the main thread; only a lock taken during
// initialization is certain to be on that thread. Starting a container moves a
// thread into foreign namespaces and then throws the thread away, and the
// runtime can throw away any thread but this one: parked here, it is never
// handed to such a goroutine, so /proc/PID of the daemon always shows the
// daemon's own namespaces and cgroups.
func init() {
	runtime.LockOSThread()
}

func main() {
	fdstore.Protect()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "sardined:", err)
		os.Exit(1)
	}
}

func run() error {
	app, err := server.App()
	if err != nil {
		return err
	}
	return app.Run(context.Background(), os.Args)
}
