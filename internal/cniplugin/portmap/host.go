// SPDX-License-Identifier: Apache-2.0

package portmap

import (
	"net"

	"github.com/sardine-run/sardine/internal/netif"
)

// routeLocalnet lets packets of 127.0.0.0/8 out of the interface by which the pod is reached. Where none is, nothing is to be done.
func (p *Plugin) routeLocalnet(ip net.IP) error {
	routes, err := p.host.RouteGet(ip)
	if err != nil || len(routes) == 0 {
		return nil
	}
	link, err := p.host.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return nil
	}
	return p.host.Do(func() error {
		name := "net/ipv4/conf/" + link.Attrs().Name + "/route_localnet"
		// Reading is cheaper than writing, which takes the lock of all interfaces.
		if value, err := netif.ReadSysctl(name); err == nil && value == "1" {
			return nil
		}
		return netif.WriteSysctl(name, "1")
	})
}
