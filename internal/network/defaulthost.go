// SPDX-License-Identifier: Apache-2.0

package network

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/netif"
)

// minimalBits is what a route has at least that leads somewhere in particular: shorter ones are default routes by another
// name, 0.0.0.0/1 and 128.0.0.0/1.
const minimalBits = 8

// hostPrefixes is where the host's IPv4 routes lead, in all tables, and where it asks for names: a nameserver may be behind
// the default route.
func hostPrefixes() ([]netip.Prefix, error) {
	host, err := netif.Host()
	if err != nil {
		return nil, err
	}
	defer host.Close()
	routes, err := host.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list the host's routes: %w: %w", err, errdefs.ErrInternal)
	}
	taken := nameservers("/etc/resolv.conf")
	for _, r := range routes {
		if p, ok := prefixOf(r.Dst); ok && p.Bits() >= minimalBits {
			taken = append(taken, p)
		}
	}
	return taken, nil
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	address, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(address.Unmap(), bits), ok
}

// nameservers of resolv.conf(5). Without the file there are none.
func nameservers(path string) (found []netip.Prefix) {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil && a.Is4() {
			found = append(found, netip.PrefixFrom(a, 32))
		}
	}
	return found
}

// hostHasIPv6 reports whether pods are to have IPv6 addresses. They are not when that would cost the host its own: it would
// have to forward, and a kernel that forwards takes no more router advertisements, unless accept_ra is 2.
func hostHasIPv6() bool {
	disabled, err := netif.ReadSysctl("net/ipv6/conf/all/disable_ipv6")
	if err != nil || disabled != "0" {
		return false
	}
	if on, err := netif.ReadSysctl("net/ipv6/conf/all/forwarding"); err != nil || on == "1" {
		return err == nil
	}
	name, err := advertised()
	if err != nil {
		log.L.WithError(err).Warn("cni: the default network has no IPv6")
		return false
	}
	if name != "" {
		log.L.Infof("cni: the default network has no IPv6: %s gets its routes by router advertisements, "+
			"which end with forwarding; sysctl net.ipv6.conf.%s.accept_ra=2 keeps them", name, name)
	}
	return name == ""
}

// advertised is an interface for which the kernel itself has taken routes from router advertisements, "" when there is
// none. Daemons that take them in its place set accept_ra to 0.
func advertised() (string, error) {
	host, err := netif.Host()
	if err != nil {
		return "", err
	}
	defer host.Close()
	routes, err := host.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{Protocol: unix.RTPROT_RA}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return "", fmt.Errorf("list the host's routes: %w", err)
	}
	for _, r := range routes {
		link, err := host.LinkByIndex(r.LinkIndex)
		if err != nil {
			continue // it went away
		}
		name := link.Attrs().Name
		if accepts, err := netif.ReadSysctl("net/ipv6/conf/" + name + "/accept_ra"); err == nil && accepts == "1" {
			return name, nil
		}
	}
	return "", nil
}
