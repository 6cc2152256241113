// SPDX-License-Identifier: Apache-2.0

package cniplugin

import (
	"errors"

	"github.com/containerd/errdefs"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/sardine-run/sardine/internal/netif"
)

// Detach leaves the pod unable to answer for its addresses. quick does that by what ADD has told, and says whether it did; it is not
// called where ADD has told nothing. Otherwise the pod's link is deleted, which takes the kernel up to 30 ms of a veth pair. A namespace that
// is gone has taken the link with it.
func (c *Call) Detach(previous *Previous, quick func(*types100.Result, *netif.Namespace) (done bool, err error)) error {
	if c.NetNS == "" {
		return nil
	}
	ns, err := netif.OpenLater(c.NetNS)
	if errors.Is(err, errdefs.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer ns.Close()
	if result, err := previous.Result(); err == nil && result != nil {
		if done, err := quick(result, ns); done || err != nil {
			return err
		}
	}
	return ns.Do(func() error { return ns.Delete(c.IfName) })
}
