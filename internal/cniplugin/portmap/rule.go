// SPDX-License-Identifier: Apache-2.0

package portmap

import (
	"fmt"
	"math"
	"net"
	"strings"

	"golang.org/x/sys/unix"
)

// portRule is one mapping for one of the pod's addresses.
type portRule struct {
	mapping
	protocol byte
	hostIP   net.IP // nil: any address of the node
	to       *net.IPNet
}

// protocols have their destination port at the same place. nft(8) and iptables(8) know more that do, and no pod has them.
var protocols = map[string]byte{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP, "sctp": unix.IPPROTO_SCTP, "dccp": unix.IPPROTO_DCCP, "udplite": unix.IPPROTO_UDPLITE}

// portRules checks the mappings, which come from pods, and gives each address the ones of its family.
func portRules(c *config) ([]portRule, error) {
	var rules []portRule
	for _, m := range c.RuntimeConfig.Mappings {
		r, err := newPortRule(m)
		if err != nil {
			return nil, err
		}
		for _, to := range c.addresses() {
			if m.HostIP == "" || isIPv6(r.hostIP) == isIPv6(to.IP) {
				r := r
				if r.to = to; r.hostIP.IsUnspecified() {
					r.hostIP = nil
				}
				rules = append(rules, r)
			}
		}
	}
	return rules, nil
}

func newPortRule(m mapping) (portRule, error) {
	m.Protocol = strings.ToLower(m.Protocol)
	r := portRule{mapping: m}
	var ok bool
	if r.protocol, ok = protocols[m.Protocol]; !ok {
		return r, fmt.Errorf("Invalid protocol: %q", m.Protocol) //nolint:staticcheck // as the errors of ports
	}
	if m.HostPort > math.MaxUint16 {
		return r, fmt.Errorf("Invalid host port number: %d", m.HostPort) //nolint:staticcheck // as above
	}
	if m.ContainerPort > math.MaxUint16 {
		return r, fmt.Errorf("Invalid container port number: %d", m.ContainerPort) //nolint:staticcheck // as above
	}
	if m.HostIP != "" {
		if r.hostIP = net.ParseIP(m.HostIP); r.hostIP == nil {
			return r, fmt.Errorf("Invalid host IP: %q", m.HostIP) //nolint:staticcheck // as above
		}
	}
	return r, nil
}

func isIPv6(ip net.IP) bool { return ip.To4() == nil }
