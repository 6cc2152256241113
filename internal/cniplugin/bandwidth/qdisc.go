// SPDX-License-Identifier: Apache-2.0

package bandwidth

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// latency is how long, in microseconds, a packet may wait for tokens: 25 ms, the reference plugin's choice.
const latency = 25_000

// qdisc is the token bucket as the root of an interface, 1:0, in the kernel's units: bytes, bytes per second, ticks.
// Conversions that overflow do so as the reference plugin's: the kubelet asks for bursts of 2 Gbit at any rate.
func (b bucket) qdisc(index int) *netlink.Tbf {
	rate, burst := b.rate/8, uint32(b.burst/8)
	micros := uint32(float64(burst) * float64(netlink.TIME_UNITS_PER_SEC) / float64(rate))
	return &netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate:       rate,
		Buffer:     uint32(float64(micros) * netlink.TickInUsec()),
		Limit:      uint32(float64(rate)*latency/float64(netlink.TIME_UNITS_PER_SEC)) + burst,
	}
}

func (p *Plugin) addBucket(index int, b bucket) error { return p.host.QdiscAdd(b.qdisc(index)) }

// redirect sends what comes out of the pod through a new ifb device with a bucket. On error all of it is undone.
func (p *Plugin) redirect(ctx context.Context, host netlink.Link, name string, b bucket) (ifb netlink.Link, err error) {
	if err := p.reaper.add(ctx, name, host.Attrs().MTU); err != nil {
		return nil, fmt.Errorf("adding link: %w", err)
	}
	undo := []func() error{func() error { return p.reaper.remove(context.WithoutCancel(ctx), name) }}
	if ifb, err = p.host.LinkByName(name); err != nil {
		return nil, undone(fmt.Errorf("get ifb device: %w", err), undo)
	}
	ingress := &netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: host.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_INGRESS,
	}}
	if err := p.host.QdiscAdd(ingress); err != nil {
		return nil, undone(fmt.Errorf("create ingress qdisc: %w", err), undo)
	}
	undo = append(undo, func() error { return p.host.QdiscDel(ingress) })
	if err := p.host.FilterAdd(all(host.Attrs().Index, ingress.Handle, ifb.Attrs().Index)); err != nil {
		return nil, undone(fmt.Errorf("add filter: %w", err), undo)
	}
	if err := p.addBucket(ifb.Attrs().Index, b); err != nil {
		return nil, undone(fmt.Errorf("create ifb qdisc: %w", err), undo)
	}
	return ifb, nil
}

// all is a filter that matches every packet and redirects it: tc-u32(8), tc-mirred(8).
func all(from int, parent uint32, to int) *netlink.U32 {
	return &netlink.U32{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: from, Parent: parent, Priority: 1, Protocol: unix.ETH_P_ALL},
		ClassId:     netlink.MakeHandle(1, 1),
		RedirIndex:  to,
		Actions:     []netlink.Action{&netlink.MirredAction{MirredAction: netlink.TCA_EGRESS_REDIR, Ifindex: to}},
	}
}

// checkBucket is stricter than the reference plugin, which is content when there is no bucket at all.
func (p *Plugin) checkBucket(link netlink.Link, b bucket) error {
	qdiscs, err := p.host.QdiscList(link)
	if err != nil {
		return err
	}
	want := b.qdisc(link.Attrs().Index)
	for _, q := range qdiscs {
		tbf, ok := q.(*netlink.Tbf)
		switch {
		case !ok:
			continue
		case tbf.Rate != want.Rate:
			return fmt.Errorf("Rate doesn't match on %s: %d, wanted %d bytes per second", link.Attrs().Name, tbf.Rate, want.Rate) //nolint:staticcheck // the reference plugin's words
		case tbf.Limit != want.Limit:
			return fmt.Errorf("Limit doesn't match on %s: %d, wanted %d bytes", link.Attrs().Name, tbf.Limit, want.Limit) //nolint:staticcheck // see above
		case tbf.Buffer != want.Buffer:
			return fmt.Errorf("Buffer doesn't match on %s: %d, wanted %d ticks", link.Attrs().Name, tbf.Buffer, want.Buffer) //nolint:staticcheck // see above
		}
		return nil
	}
	return fmt.Errorf("Failed to find qdisc of %s", link.Attrs().Name) //nolint:staticcheck // see above
}

// deviceName is the reference plugin's: 15 characters, of which 12 are of a hash.
func deviceName(network, containerID string) string {
	sum := sha512.Sum512([]byte(network + containerID))
	return "bwp" + hex.EncodeToString(sum[:])[:12]
}

// newDevice makes an ifb that is up. No transmit queue length is set: the reference plugin says 0.
func newDevice(name string, mtu int) *netlink.Ifb {
	return &netlink.Ifb{LinkAttrs: netlink.LinkAttrs{Name: name, Flags: net.FlagUp, MTU: mtu}}
}

// errForeign is about a device with one of our names that is none of ours.
var errForeign = errors.New("is no ifb device")
