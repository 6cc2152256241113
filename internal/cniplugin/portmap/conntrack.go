// SPDX-License-Identifier: Apache-2.0

package portmap

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	mdlayher "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// forgetConnections deletes what the kernel tracks of datagrams to mapped ports: they would go on to whoever they went to before.
// As with the reference plugin, failing is no error.
func (p *Plugin) forgetConnections(ctx context.Context, c *config) {
	var ports []uint16
	for _, m := range c.RuntimeConfig.Mappings {
		if protocols[strings.ToLower(m.Protocol)] == unix.IPPROTO_UDP {
			ports = append(ports, uint16(m.HostPort))
		}
	}
	if len(ports) == 0 {
		return
	}
	for _, n := range c.addresses() {
		family := byte(unix.AF_INET)
		if isIPv6(n.IP) {
			family = unix.AF_INET6
		}
		err := forget(family, ports)
		if err != nil {
			err = forgetOneByOne(family, ports)
		}
		if err != nil {
			slog.WarnContext(ctx, "stale connections of mapped UDP ports were not deleted", "address", n.IP, "error", err)
		}
	}
}

// Of linux/netfilter/nfnetlink_conntrack.h. The flags of CTA_FILTER_ORIG_FLAGS are bits by the order in net/netfilter/nf_internals.h.
const (
	conntrackDelete  = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2 // IPCTNL_MSG_CT_DELETE
	tupleOriginal    = 1                                 // CTA_TUPLE_ORIG
	tupleProtocol    = 2                                 // CTA_TUPLE_PROTO
	protocolNumber   = 1                                 // CTA_PROTO_NUM
	protocolPort     = 3                                 // CTA_PROTO_DST_PORT
	filter           = 25                                // CTA_FILTER
	filterFlags      = 1                                 // CTA_FILTER_ORIG_FLAGS
	comparesProtocol = 1 << 3
	comparesPort     = 1 << 5
)

// forget has the kernel delete what matches, which Linux can since it compares parts of tuples when deleting. An older one takes the
// request for one of a single connection, of which the addresses are missing, and refuses it: EINVAL.
func forget(family byte, ports []uint16) error {
	fd, _, err := kernel.Netlink(unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, port := range ports {
		request, err := deletion(family, port)
		if err != nil {
			return err
		}
		if err := kernel.SendNetlink(fd, request); err != nil {
			return err
		}
		answer := make([]byte, 256)
		length, err := kernel.ReceiveNetlink(fd, answer)
		if err != nil {
			return err
		}
		if length < unix.NLMSG_HDRLEN+4 || binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR {
			return errors.New("conntrack: not the answer to a deletion")
		}
		number := -int32(binary.NativeEndian.Uint32(answer[unix.NLMSG_HDRLEN:]))
		if number != 0 && unix.Errno(number) != unix.ENOENT {
			return fmt.Errorf("conntrack: %w", unix.Errno(number))
		}
	}
	return nil
}

// deletion is the request to delete connections by their protocol and original destination port.
func deletion(family byte, port uint16) ([]byte, error) {
	e := mdlayher.NewAttributeEncoder()
	e.Nested(tupleOriginal, func(tuple *mdlayher.AttributeEncoder) error {
		tuple.Nested(tupleProtocol, func(protocol *mdlayher.AttributeEncoder) error {
			protocol.Uint8(protocolNumber, unix.IPPROTO_UDP)
			protocol.Bytes(protocolPort, binary.BigEndian.AppendUint16(nil, port))
			return nil
		})
		return nil
	})
	e.Nested(filter, func(compare *mdlayher.AttributeEncoder) error {
		compare.Uint32(filterFlags, comparesProtocol|comparesPort)
		return nil
	})
	attributes, err := e.Encode()
	if err != nil {
		return nil, err
	}
	order, body := binary.NativeEndian, append([]byte{family, unix.NFNETLINK_V0, 0, 0}, attributes...)
	b := order.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+len(body)))
	b = order.AppendUint16(b, conntrackDelete)
	b = order.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	b = order.AppendUint32(b, 1) // the request's number
	b = order.AppendUint32(b, 0)
	return append(b, body...), nil
}

// forgetOneByOne is for older kernels: all connections are read.
func forgetOneByOne(family byte, ports []uint16) error {
	var filters []netlink.CustomConntrackFilter
	for _, port := range ports {
		f := &netlink.ConntrackFilter{}
		if err := errors.Join(f.AddProtocol(unix.IPPROTO_UDP), f.AddPort(netlink.ConntrackOrigDstPort, port)); err != nil {
			return err
		}
		filters = append(filters, f)
	}
	_, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, netlink.InetFamily(family), filters...)
	return err
}
