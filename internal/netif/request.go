// SPDX-License-Identifier: Apache-2.0

package netif

import (
	"errors"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// attempts is how often a dump is asked for again that changed while it was written.
const attempts = 5

// request begins a message of the namespace's own socket, which checks filters strictly: what the kernel
// cannot filter it refuses instead of telling everything.
func (n *Namespace) request(kind, flags int) *nl.NetlinkRequest {
	r := nl.NewNetlinkRequest(kind, flags)
	r.Sockets = n.sockets
	return r
}

// whole asks until nothing changed meanwhile. What five attempts could not get in one piece is taken as it is: every
// single object in it is true.
func whole[T any](list func() ([]T, error)) ([]T, error) {
	for i := 1; ; i++ {
		found, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return found, err
		}
		if i == attempts {
			return found, nil
		}
	}
}

func (n *Namespace) dump(kind int, answer uint16, data ...nl.NetlinkRequestData) ([][]byte, error) {
	return whole(func() ([][]byte, error) {
		r := n.request(kind, unix.NLM_F_DUMP)
		for _, d := range data {
			r.AddData(d)
		}
		return r.Execute(unix.NETLINK_ROUTE, answer)
	})
}

// LinkList is the Handle's, for which it is an error when links come or go meanwhile.
func (n *Namespace) LinkList() ([]netlink.Link, error) { return whole(n.Handle.LinkList) }

// RouteListFiltered is the Handle's, for which it is an error when routes come or go meanwhile.
func (n *Namespace) RouteListFiltered(family int, like *netlink.Route, filter uint64) ([]netlink.Route, error) {
	return whole(func() (found []netlink.Route, err error) {
		err = n.RouteListFilteredIter(family, like, filter, func(r netlink.Route) bool {
			found = append(found, r)
			return true
		})
		return found, err
	})
}

// openSockets makes the sockets of the calling thread's namespace.
func (n *Namespace) openSockets() (err error) {
	if n.Handle, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return err
	}
	s, err := nl.Subscribe(unix.NETLINK_ROUTE)
	if err != nil {
		n.Handle.Close()
		return err
	}
	n.sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s}}
	// Kernels before 4.20 have no such option and tell everything; the callers look at what they get.
	_ = unix.SetsockoptInt(s.GetFd(), unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	return nil
}
