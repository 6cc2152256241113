// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sardine-run/sardine/internal/nsdial"
)

// parseHost returns the addresses of an IP address or localhost. Other names are refused: who would resolve them, the node or the container?
func parseHost(host string) ([]netip.Addr, error) {
	if host == "" || strings.EqualFold(host, "localhost") {
		return nsdial.Loopback(), nil
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return nil, fmt.Errorf("host %q: want an IP address or localhost; names are not resolved", shorten(host))
	}
	if addr.Zone() != "" { // whose interface would it be?
		return nil, fmt.Errorf("host %q: addresses with a zone are not taken", shorten(host))
	}
	return []netip.Addr{addr}, nil
}

func parsePort(text string) (uint16, error) {
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 || text[0] == '+' {
		return 0, fmt.Errorf("port %q: want a number from 1 to 65535", shorten(text))
	}
	return uint16(port), nil
}

// parseAddress reads [HOST:]PORT.
func parseAddress(text string) ([]netip.AddrPort, error) {
	host, port := "", text
	if strings.Contains(text, ":") {
		var err error
		if host, port, err = net.SplitHostPort(text); err != nil {
			return nil, fmt.Errorf("%q: want PORT, HOST:PORT or [IPV6]:PORT", shorten(text))
		}
	}
	return addresses(host, port)
}

func addresses(host, port string) ([]netip.AddrPort, error) {
	addrs, err := parseHost(host)
	if err != nil {
		return nil, err
	}
	number, err := parsePort(port)
	if err != nil {
		return nil, err
	}
	return nsdial.WithPort(addrs, number), nil
}
