// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/throwaway"
)

// startApart starts the daemon in a network namespace of its own, so that bridge, addresses and rules are not the
// machine's. They end with it. The namespace is the caller's to close.
func startApart(ctx context.Context, program string) (ns *os.File, d *throwaway.Daemon, err error) {
	kernel.OnThread(func() {
		if err = kernel.Unshare(unix.CLONE_NEWNET, "network namespace"); err != nil {
			return
		}
		if err = kernel.SetLinkUp("lo"); err != nil {
			return
		}
		if ns, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return
		}
		// A process begins in the namespaces of the thread that starts it.
		if d, err = throwaway.StartCRI(ctx, program, filepath.Dir(program), throwaway.CRI{DefaultNetwork: true}); err != nil {
			ns.Close()
		}
	})
	return ns, d, err
}
