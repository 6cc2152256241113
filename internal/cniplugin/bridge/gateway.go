// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"errors"
	"fmt"
	"net"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/netif"
)

// containerInterface is the pod's end among a result's interfaces.
const containerInterface = 2

// gateways are the addresses of the host's end, by family.
type gateways struct {
	v4, v6 []*net.IPNet
}

// completeResult gives the addresses of an IPAM result their interface and, where the host is the gateway, the gateway's address: the first
// one of the network unless the IPAM plugin has another. A default route is added for each family that has none.
func completeResult(result *types100.Result, conf *config) (*gateways, error) {
	g := &gateways{}
	var routed4, routed6 bool
	for _, ip := range result.IPs {
		if ip == nil || !netif.WellFormed(&ip.Address) {
			return nil, fmt.Errorf("Unknown IP object: %v", ip) //nolint:staticcheck // the reference plugin's words
		}
		ip.Interface = types100.Int(containerInterface)
		if ip.Gateway == nil && conf.IsGateway {
			ip.Gateway = firstAddress(&ip.Address)
		}
		family, routed, everything := &g.v4, &routed4, net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
		if ip.Address.IP.To4() == nil {
			family, routed, everything = &g.v6, &routed6, net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
		}
		if conf.IsDefaultGateway && !*routed {
			addDefault(result, everything, ip.Gateway)
			*routed = true
		}
		if conf.IsGateway {
			*family = append(*family, &net.IPNet{IP: ip.Gateway, Mask: ip.Address.Mask})
		}
	}
	for _, r := range result.Routes {
		if r == nil || !netif.WellFormed(&r.Dst) {
			return nil, errors.New("IPAM plugin returned a route without destination")
		}
	}
	return g, nil
}

// addDefault adds a default route unless there is one with a gateway.
func addDefault(result *types100.Result, everything net.IPNet, gateway net.IP) {
	for _, r := range result.Routes {
		if r != nil && r.GW != nil && r.Dst.String() == everything.String() {
			return
		}
	}
	result.Routes = append(result.Routes, &types.Route{Dst: everything, GW: gateway})
}

// firstAddress is the network's address plus one.
func firstAddress(n *net.IPNet) net.IP {
	ip := n.IP.Mask(n.Mask)
	for i := len(ip) - 1; i >= 0; i-- {
		if ip[i]++; ip[i] != 0 {
			break
		}
	}
	return ip
}

// openGateways gives the bridge, or the link of its VLAN, the gateways' addresses, and makes the host forward. It returns
// that link.
func (p *Plugin) openGateways(br *netlink.Bridge, conf *config, g *gateways) (link netlink.Link, err error) {
	link = br
	if conf.VLAN != 0 && len(g.v4)+len(g.v6) > 0 {
		if link, err = p.ensureGatewayLink(br, conf); err != nil {
			return nil, fmt.Errorf("failed to create vlan interface: %w", err)
		}
	}
	for _, family := range []struct {
		number    int
		addresses []*net.IPNet
		sysctl    string
	}{
		{unix.AF_INET, g.v4, "net/ipv4/ip_forward"},
		{unix.AF_INET6, g.v6, "net/ipv6/conf/all/forwarding"},
	} {
		for _, address := range family.addresses {
			if err := p.ensureAddress(link, family.number, address, conf.ForceAddress); err != nil {
				if conf.VLAN != 0 {
					return nil, fmt.Errorf("failed to set vlan interface for bridge with addr: %w", err)
				}
				return nil, fmt.Errorf("failed to set bridge addr: %w", err)
			}
		}
		if len(family.addresses) == 0 {
			continue
		}
		if err := p.host.Do(func() error { return p.sysctls.Ensure(family.sysctl, "1") }); err != nil {
			return nil, fmt.Errorf("failed to enable forwarding: %w", err)
		}
	}
	return link, nil
}

// ensureAddress leaves the link with this address. Another one of IPv4, or of an overlapping network of IPv6, is an error or, with force, removed.
func (p *Plugin) ensureAddress(link netlink.Link, family int, address *net.IPNet, force bool) error {
	name, index := link.Attrs().Name, link.Attrs().Index
	there, err := p.host.Addresses(index, family)
	if err != nil {
		return fmt.Errorf("could not get list of IP addresses: %w", err)
	}
	for _, a := range there {
		if same(a, address) {
			return nil
		}
		if family == unix.AF_INET6 && !a.Net.Contains(address.IP) && !address.Contains(a.Net.IP) {
			continue
		}
		if !force {
			return fmt.Errorf("%q already has an IP address different from %v", name, address)
		}
		if err := p.host.AddrDel(link, &netlink.Addr{IPNet: a.Net}); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("could not remove IP address from %q: %w", name, err)
		}
	}
	if err := p.host.AddrAdd(link, &netlink.Addr{IPNet: address}); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("could not add IP address %s to %q: %w", address, name, err)
	}
	// Its own hardware address, set, is one that does not change with the ports.
	if err := p.host.SetLink(index, netif.Change{MAC: link.Attrs().HardwareAddr}); err != nil {
		return fmt.Errorf("could not set bridge's mac: %w", err)
	}
	return nil
}

func same(a netif.Address, address *net.IPNet) bool { return a.Net.String() == address.String() }
