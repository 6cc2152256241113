// SPDX-License-Identifier: Apache-2.0

package network

import (
	"fmt"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// loopbackUp sets lo up in a network namespace, without the plugin of that name.
func loopbackUp(netns string) error {
	ns, err := kernel.Open(netns, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("network namespace: %w: %w", err, errdefs.ErrFailedPrecondition)
	}
	defer ns.Close()
	kernel.OnThread(func() {
		if err = kernel.Setns(int(ns.Fd()), unix.CLONE_NEWNET, netns); err == nil {
			err = kernel.SetLinkUp("lo")
		}
	})
	if err != nil {
		return fmt.Errorf("loopback interface: %w: %w", err, errdefs.ErrInternal)
	}
	return nil
}
