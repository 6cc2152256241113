// SPDX-License-Identifier: Apache-2.0

package ptp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"

	"github.com/sardine-run/sardine/internal/netif"
)

// configurePod gives the pod its addresses, and its routes unless addresses of IPv6 have to settle first, for which the host's end is up.
func (a *attachment) configurePod(context.Context) error {
	return a.ns.Do(func() error {
		if netif.HasIPv6(a.result.IPs) {
			if err := a.sysctls.EnableIPv6(a.call.IfName); err != nil {
				return err
			}
		}
		if err := a.ns.AddAddresses(a.pod, a.result.IPs); err != nil {
			return err
		}
		if err := a.ns.SetLink(a.pod.Attrs().Index, netif.Change{Up: true}); err != nil {
			return fmt.Errorf("failed to set %q UP: %w", a.call.IfName, err)
		}
		if a.settles() {
			return nil
		}
		return a.addRoutes()
	})
}

func (a *attachment) settles() bool {
	_, v6 := netif.Gateways(a.result.IPs)
	return v6 != nil
}

// settle waits for the addresses of IPv6, and until the pod's end works.
func (a *attachment) settle(ctx context.Context) error {
	if a.settles() {
		if err := a.ns.Settle(ctx, a.pod); err != nil {
			return fmt.Errorf("failed to settle addresses for %q: %w", a.call.IfName, err)
		}
		if err := a.addRoutes(); err != nil {
			return err
		}
	}
	_, err := a.ns.WaitUp(ctx, a.pod.Attrs().Index)
	return err
}

// addRoutes adds the result's routes, and sends what is for the pod's own network by the gateway: there is nobody else
// on a veth, but the gateway has to be in the network of an address. So the network's route is replaced by one to the
// gateway and one by it.
func (a *attachment) addRoutes() error {
	if err := a.ns.AddRoutes(a.pod, a.result); err != nil {
		return err
	}
	for _, ip := range a.result.IPs {
		network := &net.IPNet{IP: ip.Address.IP.Mask(ip.Address.Mask), Mask: ip.Address.Mask}
		direct := netlink.Route{LinkIndex: a.pod.Attrs().Index, Dst: network, Scope: netlink.SCOPE_NOWHERE}
		if err := a.ns.RouteDel(&direct); err != nil {
			return fmt.Errorf("failed to delete route %v: %w", direct, err)
		}
		for _, r := range []netlink.Route{
			{LinkIndex: a.pod.Attrs().Index, Dst: single(ip.Gateway), Scope: netlink.SCOPE_LINK, Src: ip.Address.IP},
			{LinkIndex: a.pod.Attrs().Index, Dst: network, Scope: netlink.SCOPE_UNIVERSE, Gw: ip.Gateway, Src: ip.Address.IP},
		} {
			if err := a.ns.RouteAdd(&r); err != nil {
				return fmt.Errorf("failed to add route %v: %w", r, err)
			}
		}
	}
	return nil
}

// single is the network of one address.
func single(ip net.IP) *net.IPNet {
	if v4 := ip.To4(); v4 != nil {
		return &net.IPNet{IP: v4, Mask: net.CIDRMask(32, 32)}
	}
	return &net.IPNet{IP: ip, Mask: net.CIDRMask(128, 128)}
}

// configureHost gives the host's end the gateways' addresses, and the host its routes to the pod.
func (a *attachment) configureHost(context.Context) error {
	host, link := a.Plugin.host, a.host
	if err := host.SetLink(link.Attrs().Index, netif.Change{Up: true}); err != nil {
		return fmt.Errorf("failed to set %q up: %w", link.Attrs().Name, err)
	}
	for _, ip := range a.result.IPs {
		address := single(ip.Gateway)
		if err := host.AddrAdd(link, &netlink.Addr{IPNet: address}); err != nil {
			return fmt.Errorf("failed to add IP addr (%v) to veth: %w", address, err)
		}
		if err := host.RouteAdd(hostRoute(link.Attrs().Index, ip)); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("failed to add route on host: %w", err)
		}
	}
	return nil
}

// hostRoute is the host's route to one of the pod's addresses.
func hostRoute(index int, ip *types100.IPConfig) *netlink.Route {
	return &netlink.Route{LinkIndex: index, Scope: netlink.SCOPE_HOST, Dst: single(ip.Address.IP)}
}
