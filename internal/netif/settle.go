// SPDX-License-Identifier: Apache-2.0

package netif

import (
	"context"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// settleTimeout is how long duplicate address detection is waited for.
const settleTimeout = 5 * time.Second

// Settle waits until no IPv6 address of the link is tentative: nothing tells when. Without carrier that never happens, and the end
// of the wait is no error. One that is a duplicate is.
func (n *Namespace) Settle(ctx context.Context, link netlink.Link) error {
	name, index := link.Attrs().Name, link.Attrs().Index
	deadline := time.Now().Add(settleTimeout)
	for pause := 200 * time.Microsecond; ; pause = min(2*pause, 50*time.Millisecond) {
		done, err := n.settled(name, index)
		if done || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return n.unsettled(index, name)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

func (n *Namespace) settled(name string, index int) (bool, error) {
	addresses, err := n.Addresses(index, unix.AF_INET6)
	if err != nil {
		return false, fmt.Errorf("could not list addresses: %w", err)
	}
	done := true
	for _, a := range addresses {
		if a.Flags&unix.IFA_F_DADFAILED != 0 {
			return false, fmt.Errorf("link %s has address %s in DADFAILED state", name, a.Net.IP)
		}
		done = done && a.Flags&unix.IFA_F_TENTATIVE == 0
	}
	return done, nil
}

func (n *Namespace) unsettled(index int, name string) error {
	link, err := n.LinkByIndex(index)
	if err != nil {
		return fmt.Errorf("failed to retrieve link: %w", err)
	}
	if link.Attrs().OperState == netlink.OperUp {
		return fmt.Errorf("link %s still has tentative addresses after %v", name, settleTimeout)
	}
	return nil
}

// operPauses are between looks at a link's state; they make up the time that the reference plugins allow.
var operPauses = []time.Duration{0, 200 * time.Microsecond, time.Millisecond, 4 * time.Millisecond, 45 * time.Millisecond,
	500 * time.Millisecond, time.Second, time.Second}

// WaitUp waits until the link is operational. Linux since 6.9 carries out a change of carrier when it is asked for the link's state;
// before, a worker does so soon. Until then what the link sends is thrown away.
func (n *Namespace) WaitUp(ctx context.Context, index int) (netlink.Link, error) {
	var state netlink.LinkOperState
	for _, pause := range operPauses {
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
		link, err := n.LinkByIndex(index)
		if err != nil {
			return nil, err
		}
		if state = link.Attrs().OperState; state == netlink.OperUp {
			return link, nil
		}
	}
	return nil, fmt.Errorf("bridge port in error state: %s", state)
}

func sleep(ctx context.Context, pause time.Duration) error {
	if pause == 0 {
		return ctx.Err()
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
