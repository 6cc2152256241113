// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
)

// rangeConf is a range as a configuration has it. Only the subnet has to be there.
type rangeConf struct {
	RangeStart, RangeEnd net.IP
	Subnet               types.IPNet
	Gateway              net.IP
}

// ipRange is addresses of one subnet that may be leased, but for the gateway's.
type ipRange struct {
	first, last address // both included
	gateway     address
	subnet      net.IPNet
}

// newRange completes a range: it begins after the subnet's own address and ends, with IPv4, before the broadcast address.
// The gateway is the first address.
func newRange(conf rangeConf) (ipRange, error) {
	subnet, err := checkSubnet(conf.Subnet)
	if err != nil {
		return ipRange{}, err
	}
	first, _ := fromIP(subnet.IP).next()
	r := ipRange{first: first, last: lastOf(subnet), gateway: first, subnet: subnet}
	if conf.Gateway != nil {
		r.gateway = fromIP(conf.Gateway)
	}
	for _, end := range []struct {
		name string
		conf net.IP
		ours *address
	}{{"rangeStart", conf.RangeStart, &r.first}, {"rangeEnd", conf.RangeEnd, &r.last}} {
		if end.conf == nil {
			continue
		}
		if !sameFamily(end.conf, subnet.IP) || !subnet.Contains(end.conf) {
			return ipRange{}, fmt.Errorf("%s %s is not in the subnet %s", end.name, end.conf, &subnet)
		}
		*end.ours = fromIP(end.conf)
	}
	if r.first.compare(r.last) > 0 {
		return ipRange{}, fmt.Errorf("the range from %s to %s in the subnet %s is empty", r.first, r.last, &subnet)
	}
	return r, nil
}

func checkSubnet(conf types.IPNet) (net.IPNet, error) {
	subnet := net.IPNet(conf)
	if ip := subnet.IP.To4(); ip != nil {
		subnet.IP = ip
	}
	ones, all := subnet.Mask.Size()
	switch {
	case subnet.IP == nil:
		return subnet, errors.New("a range has no subnet")
	case len(subnet.IP) != len(subnet.Mask):
		return subnet, fmt.Errorf("the subnet %s mixes IPv4 and IPv6", &subnet)
	case ones > all-2:
		return subnet, fmt.Errorf("the subnet %s is too small", &subnet)
	case !subnet.IP.Equal(subnet.IP.Mask(subnet.Mask)):
		return subnet, fmt.Errorf("the subnet %s has host bits set, its address is %s", &subnet, subnet.IP.Mask(subnet.Mask))
	}
	return subnet, nil
}

func lastOf(subnet net.IPNet) address {
	end := make(net.IP, len(subnet.IP))
	for i := range end {
		end[i] = subnet.IP[i] | ^subnet.Mask[i]
	}
	if len(end) == net.IPv4len {
		end[3]-- // at least two bits are the host's
	}
	return fromIP(end)
}

func sameFamily(a, b net.IP) bool { return (a.To4() == nil) == (b.To4() == nil) }

func (r *ipRange) contains(a address) bool { return r.first.compare(a) <= 0 && a.compare(r.last) <= 0 }

func (r *ipRange) overlaps(o *ipRange) bool {
	return r.first.compare(o.last) <= 0 && o.first.compare(r.last) <= 0
}

// rangeSet is ranges of one family that do not overlap. ADD leases one address out of each set.
type rangeSet []ipRange

func newRangeSet(confs []rangeConf) (rangeSet, error) {
	if len(confs) == 0 {
		return nil, errors.New("no range in it")
	}
	var set rangeSet
	for _, conf := range confs {
		r, err := newRange(conf)
		if err != nil {
			return nil, err
		}
		if other := set.overlapping(&r); other != nil {
			return nil, fmt.Errorf("the ranges %s and %s overlap", other, &r)
		}
		if len(set) > 0 && set[0].first.is4() != r.first.is4() {
			return nil, errors.New("IPv4 and IPv6 ranges in one set")
		}
		set = append(set, r)
	}
	return set, nil
}

// find returns the range that a is in, or nil.
func (s rangeSet) find(a address) *ipRange {
	for i := range s {
		if s[i].contains(a) {
			return &s[i]
		}
	}
	return nil
}

func (s rangeSet) overlapping(r *ipRange) *ipRange {
	for i := range s {
		if s[i].overlaps(r) {
			return &s[i]
		}
	}
	return nil
}

func (s rangeSet) overlaps(o rangeSet) bool {
	for i := range o {
		if s.overlapping(&o[i]) != nil {
			return true
		}
	}
	return false
}

func (r *ipRange) String() string { return r.first.String() + "-" + r.last.String() }

func (s rangeSet) String() string {
	var names []string
	for i := range s {
		names = append(names, s[i].String())
	}
	return strings.Join(names, ",")
}

// span is addresses of one range that follow each other.
type span struct {
	first, last address // both included
	in          *ipRange
}

// after puts the set into the order in which addresses are looked for: what follows last in its range, the other
// ranges, and that range again up to last. From the beginning when last is in none.
func (s rangeSet) after(last address) []span {
	start := 0
	for i := range s {
		if s[i].contains(last) {
			start = i
		}
	}
	var spans []span
	known := s[start].contains(last)
	if next, ok := last.next(); known && ok && next.compare(s[start].last) <= 0 {
		spans = append(spans, span{next, s[start].last, &s[start]})
	}
	for i := range s {
		if r := &s[(start+i)%len(s)]; i > 0 || !known {
			spans = append(spans, span{r.first, r.last, r})
		}
	}
	if known {
		spans = append(spans, span{s[start].first, last, &s[start]})
	}
	return spans
}

// firstFree finds the first address that is not taken and not the gateway's.
func (s span) firstFree(taken addresses) (address, bool) {
	free, ok := taken.firstFree(s.first, s.last)
	if !ok || free != s.in.gateway {
		return free, ok
	}
	after, more := free.next()
	if !more || after.compare(s.last) > 0 {
		return address{}, false
	}
	return taken.firstFree(after, s.last)
}
