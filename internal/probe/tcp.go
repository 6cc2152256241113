// SPDX-License-Identifier: Apache-2.0

package probe

import "net/netip"

// tcp is the probe of a port that accepts connections.
type tcp struct {
	text      string
	addresses []netip.AddrPort
}

func parseTCP(operand string, _ map[string][]string) (Probe, error) {
	list, err := parseAddress(operand)
	return tcp{operand, list}, err
}

func (tcp) kind() string { return "tcp" }

func (t tcp) ask(a asked) Answer {
	conn, err := a.target.Dial(a.ctx, t.addresses...)
	if err != nil {
		return bad("tcp %s: %s", shorten(t.text), shorten(err.Error()))
	}
	defer conn.Close()
	return good("tcp %s: connected with %s", shorten(t.text), conn.RemoteAddr())
}
