// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/sardine-run/sardine/internal/kernel"
)

// lastReserved begins the name of the file with the address that a set of ranges gave last; its number follows.
const lastReserved = "last_reserved_ip."

// allocation is one ADD.
type allocation struct {
	*directory
	who       tenant
	requested []address
	reserved  []address
}

// allocate leases an address out of each set of ranges, or none at all.
func allocate(ctx context.Context, d *directory, who tenant, conf *config) ([]*current.IPConfig, error) {
	a := &allocation{directory: d, who: who, requested: slices.Clone(conf.requested)}
	var ips []*current.IPConfig
	for i, set := range conf.sets {
		lease, err := a.from(ctx, i, set)
		if err != nil {
			return nil, a.undo(inRange(i, err))
		}
		in := set.find(lease)
		ips = append(ips, &current.IPConfig{
			Address: net.IPNet{IP: lease.IP(), Mask: in.subnet.Mask},
			Gateway: in.gateway.IP(),
		})
	}
	if len(a.requested) > 0 {
		return nil, a.undo(refused("failed to allocate all requested IPs: %s", strings.Trim(fmt.Sprint(a.requested), "[]")))
	}
	return ips, nil
}

// inRange says for which set of ranges ADD failed.
func inRange(i int, err error) error {
	var r *types.Error
	if errors.As(err, &r) {
		return refused("failed to allocate for range %d: %s", i, r.Msg)
	}
	return fmt.Errorf("failed to allocate for range %d: %w", i, err)
}

func (a *allocation) undo(err error) error {
	for _, lease := range a.reserved {
		err = errors.Join(err, a.remove(lease, a.who.content()))
	}
	return err
}

// from leases an address out of set number i: a requested one when there is one in it.
func (a *allocation) from(ctx context.Context, i int, set rangeSet) (address, error) {
	wanted := slices.IndexFunc(a.requested, func(r address) bool { return set.find(r) != nil })
	if wanted < 0 {
		return a.any(ctx, i, set)
	}
	lease := a.requested[wanted]
	a.requested = slices.Delete(a.requested, wanted, wanted+1)
	if lease == set.find(lease).gateway {
		return lease, refused("requested ip %s is subnet's gateway", lease)
	}
	ok, err := a.take(i, lease)
	if err == nil && !ok {
		err = refused("requested IP address %s is not available in range set %s", lease, set)
	}
	return lease, err
}

// any leases the first free address after the one that was leased last: addresses are used again as late as possible.
func (a *allocation) any(ctx context.Context, i int, set rangeSet) (address, error) {
	if err := a.refuseSecond(ctx, set); err != nil {
		return address{}, err
	}
	for _, s := range set.after(a.lastReserved(i)) {
		for free, ok := s.firstFree(a.index.taken); ok; free, ok = s.firstFree(a.index.taken) {
			taken, err := a.take(i, free)
			if taken || err != nil {
				return free, err
			}
			if err := a.surprise(ctx, free); err != nil {
				return free, err
			}
		}
	}
	return address{}, refused("no IP addresses available in range set: %s", set)
}

// refuseSecond refuses a second address for the same interface out of one set, as the specification demands.
func (a *allocation) refuseSecond(ctx context.Context, set rangeSet) error {
	for _, owner := range []string{a.who.content(), a.who.id} {
		leases, err := a.owned(ctx, owner)
		if err != nil {
			return err
		}
		for _, lease := range leases {
			if set.find(lease) != nil {
				return refused("%s has been allocated to %s, duplicate allocation is not allowed", lease, a.who.id)
			}
		}
	}
	return nil
}

// take leases an address and notes that it was the last one of set i.
func (a *allocation) take(i int, lease address) (bool, error) {
	ok, err := a.reserve(lease, a.who)
	if !ok {
		return false, err
	}
	a.reserved = append(a.reserved, lease)
	return true, kernel.ReplaceSmall(a.fd, lastReserved+strconv.Itoa(i), []byte(lease.String()), leaseMode)
}

// surprise is for an address that was taken although the index says it is free.
func (a *allocation) surprise(ctx context.Context, lease address) error {
	if !a.fresh {
		return a.read(ctx)
	}
	a.index.taken.add(lease)
	return ctx.Err()
}

// lastReserved is what set i gave last. Zero, which is in no range, when that is not known: no more than the order is lost.
func (a *allocation) lastReserved(i int) address {
	data, err := kernel.ReadSmall(a.fd, lastReserved+strconv.Itoa(i), maxContent)
	if err != nil {
		return address{}
	}
	ip, err := netip.ParseAddr(string(data))
	if err != nil {
		return address{}
	}
	return ip.As16()
}
