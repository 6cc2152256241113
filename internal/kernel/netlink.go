// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// Netlink opens a netlink socket, netlink(7), and returns the port that the kernel knows it by. The runtime's poller does not
// watch it: the messages of a group would wake up a daemon that has nothing to do.
func Netlink(protocol int) (fd int, port uint32, err error) {
	fd, err = retryFD(func() (int, error) { return unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol) })
	if err != nil {
		return -1, 0, wrap("socket", "netlink "+strconv.Itoa(protocol), err)
	}
	if err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return -1, 0, wrap("bind", "netlink", err)
	}
	address, err := unix.Getsockname(fd)
	if err != nil {
		unix.Close(fd)
		return -1, 0, wrap("getsockname", "netlink", err)
	}
	if own, ok := address.(*unix.SockaddrNetlink); ok {
		port = own.Pid
	}
	return fd, port, nil
}

// JoinNetlink makes a socket hear what the kernel tells a group.
func JoinNetlink(fd, group int) error {
	return wrap("setsockopt", "NETLINK_ADD_MEMBERSHIP", unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group))
}

// NetlinkSendBuffer sets how long a request may be, about.
func NetlinkSendBuffer(fd, bytes int) error {
	return wrap("setsockopt", "SO_SNDBUFFORCE", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, bytes))
}

// SendNetlink sends requests to the kernel, which has worked on them when it returns.
func SendNetlink(fd int, b []byte) error {
	return wrap("sendto", "netlink", retry(func() error {
		return unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	}))
}

// ReceiveNetlink reads one datagram of the kernel's that is already there: EAGAIN when there is none. length is the
// datagram's, which is more than len(b) when its end was cut off.
func ReceiveNetlink(fd int, b []byte) (length int, err error) {
	for {
		var from unix.Sockaddr
		err = retry(func() (err error) {
			length, from, err = unix.Recvfrom(fd, b, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
			return err
		})
		if err != nil {
			return 0, wrap("recvfrom", "netlink", err)
		}
		if sender, ok := from.(*unix.SockaddrNetlink); ok && sender.Pid == 0 {
			return length, nil
		}
	}
}
