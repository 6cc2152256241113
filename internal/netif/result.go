// SPDX-License-Identifier: Apache-2.0

package netif

import (
	"errors"
	"fmt"
	"net"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"
)

// EnableIPv6 makes an interface, and lo, take IPv6 addresses and keep them while it is down. It is called inside Do, before the
// first address.
func (s *Sysctls) EnableIPv6(ifName string) error {
	for _, name := range []string{"lo", ifName} {
		key := "net/ipv6/conf/" + name + "/disable_ipv6"
		now, err := s.Read(key)
		if err != nil || now == "0" {
			continue
		}
		if err := s.Write(key, "0"); err != nil {
			return fmt.Errorf("failed to enable IPv6 for interface %q (%s=%s): %w", name, key, now, err)
		}
	}
	if err := s.Write("net/ipv6/conf/"+ifName+"/keep_addr_on_down", "1"); err != nil {
		return fmt.Errorf("failed to enable keep_addr_on_down for interface %q: %w", ifName, err)
	}
	return nil
}

// Gateways are those of a result that routes without one get: the first of each family.
func Gateways(ips []*types100.IPConfig) (v4, v6 net.IP) {
	for _, ip := range ips {
		if is4 := ip.Gateway.To4() != nil; is4 && v4 == nil {
			v4 = ip.Gateway
		} else if !is4 && v6 == nil {
			v6 = ip.Gateway
		}
	}
	return v4, v6
}

// HasIPv6 tells whether one of the addresses is of IPv6.
func HasIPv6(ips []*types100.IPConfig) bool {
	for _, ip := range ips {
		if ip.Address.IP.To4() == nil {
			return true
		}
	}
	return false
}

// AddAddresses gives the link the addresses of a result.
func (n *Namespace) AddAddresses(link netlink.Link, ips []*types100.IPConfig) error {
	for _, ip := range ips {
		if err := n.AddrAdd(link, &netlink.Addr{IPNet: &ip.Address}); err != nil {
			return fmt.Errorf("failed to add IP addr %v to %q: %w", ip.Address.String(), link.Attrs().Name, err)
		}
	}
	return nil
}

// AddRoutes adds the routes of a result. The link is up.
func (n *Namespace) AddRoutes(link netlink.Link, result *types100.Result) error {
	v4, v6 := Gateways(result.IPs)
	for _, r := range result.Routes {
		route := netlink.Route{Dst: &r.Dst, LinkIndex: link.Attrs().Index, Gw: r.GW, Priority: r.Priority}
		if route.Gw == nil {
			if route.Gw = v6; r.Dst.IP.To4() != nil {
				route.Gw = v4
			}
		}
		if r.Table != nil {
			route.Table = *r.Table
		}
		if r.Scope != nil {
			route.Scope = netlink.Scope(*r.Scope)
		}
		if err := n.RouteAddEcmp(&route); err != nil {
			return fmt.Errorf("failed to add route '%v via %v dev %v metric %d (Scope: %v, Table: %d)': %w",
				r.Dst, route.Gw, link.Attrs().Name, r.Priority, route.Scope, route.Table, err)
		}
	}
	return nil
}

// CheckAddresses is nil when the interface has the addresses of a result, and there are routes to their networks.
func (n *Namespace) CheckAddresses(ifName string, ips []*types100.IPConfig) error {
	if len(ips) == 0 {
		return nil
	}
	link, err := n.LinkByName(ifName)
	if err != nil {
		return fmt.Errorf("Cannot find container link %v", ifName) //nolint:staticcheck // the reference plugins' words, here and below
	}
	there, err := n.Addresses(link.Attrs().Index, netlink.FAMILY_ALL)
	if err != nil {
		return errors.New("Cannot obtain List of IP Addresses") //nolint:staticcheck
	}
	for _, ip := range ips {
		if !has(there, &ip.Address) {
			return fmt.Errorf("Failed to match addr %v on interface %v", &ip.Address, ifName) //nolint:staticcheck
		}
		network := &net.IPNet{IP: ip.Address.IP.Mask(ip.Address.Mask), Mask: ip.Address.Mask}
		found, err := n.routes(&netlink.Route{Dst: network}, netlink.RT_FILTER_DST)
		if err != nil {
			return fmt.Errorf("Error %w trying to find Gateway %v for interface %v", err, ip.Gateway, ifName) //nolint:staticcheck
		}
		if !found {
			return fmt.Errorf("Failed to find Gateway %v for interface %v", ip.Gateway, ifName) //nolint:staticcheck
		}
	}
	return nil
}

func has(there []Address, wanted *net.IPNet) bool {
	for _, a := range there {
		if a.Net.IP.Equal(wanted.IP) && a.Net.Mask.String() == wanted.Mask.String() {
			return true
		}
	}
	return false
}

// CheckRoutes is nil when the routes of a result are there. As in the reference plugins, a default route is by any gateway.
func (n *Namespace) CheckRoutes(routes []*types.Route) error {
	for _, r := range routes {
		filter := netlink.RT_FILTER_DST
		if ones, bits := r.Dst.Mask.Size(); r.GW != nil && (ones > 0 || bits == 0) {
			filter |= netlink.RT_FILTER_GW
		}
		found, err := n.routes(&netlink.Route{Dst: &r.Dst, Gw: r.GW}, filter)
		if err != nil {
			return fmt.Errorf("Expected Route %v not route table lookup error %w", r, err) //nolint:staticcheck
		}
		if !found {
			return fmt.Errorf("Expected Route %v not found in routing table", r) //nolint:staticcheck
		}
	}
	return nil
}

// routes tells whether there is such a route.
func (n *Namespace) routes(like *netlink.Route, filter uint64) (bool, error) {
	family := netlink.FAMILY_V6
	if like.Dst.IP.To4() != nil {
		family = netlink.FAMILY_V4
	}
	found, err := n.RouteListFiltered(family, like, filter)
	return len(found) > 0, err
}

// WellFormed tells whether an address is one of IPv4 or IPv6, and its mask a prefix of the same.
func WellFormed(n *net.IPNet) bool {
	_, bits := n.Mask.Size()
	if n.IP.To4() != nil {
		return bits == 32
	}
	return len(n.IP) == net.IPv6len && bits == 128
}
