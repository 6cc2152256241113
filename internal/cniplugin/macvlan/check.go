// SPDX-License-Identifier: Apache-2.0

package macvlan

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/netif"
)

// Check implements cniplugin.Plugin.
func (p *Plugin) Check(ctx context.Context, c *cniplugin.Call) error {
	conf, err := parse(c)
	if err != nil {
		return err
	}
	pod, err := open(c.NetNS)
	if err != nil {
		return err
	}
	defer pod.Close()
	from := p.host
	if conf.InContainer {
		from = pod
	}
	if _, err := conf.findMaster(from); err != nil {
		return err
	}
	if conf.IPAM.Type != "" {
		if err := c.DelegateCheck(ctx, conf.IPAM.Type); err != nil {
			return err
		}
	}
	result, err := conf.Result()
	if err != nil {
		return err
	}
	if result == nil {
		return errors.New("required prevResult missing")
	}
	index, err := checkLink(pod, c, conf, result)
	if err != nil {
		return err
	}
	if err := checkAddresses(pod, index, c.IfName, result.IPs); err != nil {
		return err
	}
	return checkRoutes(pod, result.Routes)
}

// checkLink compares the pod's link with the result's, and returns its index.
func checkLink(pod *netif.Namespace, c *cniplugin.Call, conf *config, result *current.Result) (int, error) {
	var want *current.Interface
	for _, i := range result.Interfaces {
		if i != nil && i.Name == c.IfName && i.Sandbox == c.NetNS {
			want = i
		}
	}
	if want == nil {
		return 0, fmt.Errorf("prevResult has no interface %s in %s", c.IfName, c.NetNS)
	}
	found, err := pod.Find(c.IfName)
	if err != nil {
		return 0, err
	}
	if found == nil {
		return 0, fmt.Errorf("interface %s is not there", c.IfName)
	}
	macvlan, ok := found.(*netlink.Macvlan)
	switch mac := found.Attrs().HardwareAddr.String(); {
	case !ok:
		return 0, fmt.Errorf("interface %s is no macvlan but %s", c.IfName, found.Type())
	case macvlan.Mode != conf.mode:
		return 0, fmt.Errorf("interface %s has another mode than %q", c.IfName, conf.Mode)
	case want.Mac != "" && want.Mac != mac:
		return 0, fmt.Errorf("interface %s has the address %s, expected %s", c.IfName, mac, want.Mac)
	}
	return found.Attrs().Index, nil
}

// checkAddresses also looks for the routes that come with addresses.
func checkAddresses(pod *netif.Namespace, index int, name string, ips []*current.IPConfig) error {
	has, err := pod.Addresses(index, unix.AF_UNSPEC)
	if err != nil {
		return fmt.Errorf("addresses of %s: %w", name, err)
	}
	known := map[string]bool{}
	for _, a := range has {
		known[a.Net.String()] = true
	}
	for _, ip := range ips {
		if !known[ip.Address.String()] {
			return fmt.Errorf("interface %s does not have the address %s", name, &ip.Address)
		}
		prefix := net.IPNet{IP: ip.Address.IP.Mask(ip.Address.Mask), Mask: ip.Address.Mask}
		if err := checkRoute(pod, &netlink.Route{Dst: &prefix}, netlink.RT_FILTER_DST); err != nil {
			return err
		}
	}
	return nil
}

func checkRoutes(pod *netif.Namespace, routes []*types.Route) error {
	for _, r := range routes {
		if r == nil || r.Dst.IP.To16() == nil {
			return errors.New("prevResult has a route without dst")
		}
		route, filter := &netlink.Route{Dst: &r.Dst, Gw: r.GW}, netlink.RT_FILTER_DST
		if ones, _ := r.Dst.Mask.Size(); r.GW != nil && ones != 0 { // of a default route, any will do
			filter |= netlink.RT_FILTER_GW
		}
		if r.Table != nil { // otherwise the main one is meant
			route.Table = *r.Table
			filter |= netlink.RT_FILTER_TABLE
		}
		if err := checkRoute(pod, route, filter); err != nil {
			return err
		}
	}
	return nil
}

func checkRoute(pod *netif.Namespace, route *netlink.Route, filter uint64) error {
	family := netlink.FAMILY_V6
	if route.Dst.IP.To4() != nil {
		family = netlink.FAMILY_V4
	}
	found, err := pod.RouteListFiltered(family, route, filter)
	if err != nil {
		return fmt.Errorf("route %s: %w", route.Dst, err)
	}
	if len(found) == 0 {
		return fmt.Errorf("there is no route %s", route.Dst)
	}
	return nil
}
