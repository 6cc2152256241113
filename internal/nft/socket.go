// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

const (
	sendBuffer    = 4 << 20  // a transaction is one message: thousands of rules to collect
	receiveLength = 32 << 10 // the kernel lists no more at once
)

// socket is a netfilter socket. The kernel works on a request while it is sent, so answers are never waited for.
type socket struct {
	fd       int
	port     uint32 // what the kernel calls the socket
	sequence uint32
	buffer   []byte
}

func open() (*socket, error) {
	fd, port, err := kernel.Netlink(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	return &socket{fd: fd, port: port}, nil
}

func (s *socket) close() error { return unix.Close(s.fd) }

// send gives messages their numbers and sends them as one datagram. It returns the first number.
func (s *socket) send(messages []netlink.Message) (first uint32, err error) {
	if s.sequence > 1<<31 {
		s.sequence = 0
	}
	first = s.sequence + 1
	var datagram []byte
	for i := range messages {
		s.sequence++
		messages[i].Header.Sequence = s.sequence
		datagram = appendMessage(datagram, messages[i])
	}
	return first, kernel.SendNetlink(s.fd, datagram)
}

// appendMessage appends struct nlmsghdr and what follows it.
func appendMessage(b []byte, m netlink.Message) []byte {
	order := binary.NativeEndian
	b = order.AppendUint32(b, uint32(unix.NLMSG_HDRLEN+len(m.Data)))
	b = order.AppendUint16(b, uint16(m.Header.Type))
	b = order.AppendUint16(b, uint16(m.Header.Flags))
	b = order.AppendUint32(b, m.Header.Sequence)
	b = order.AppendUint32(b, 0)
	b = append(b, m.Data...)
	return append(b, make([]byte, (unix.NLMSG_ALIGNTO-len(m.Data)%unix.NLMSG_ALIGNTO)%unix.NLMSG_ALIGNTO)...)
}

// receive calls f for all messages that are there. errMissed when some were lost.
func (s *socket) receive(f func(m *syscall.NetlinkMessage)) error {
	if s.buffer == nil {
		s.buffer = make([]byte, receiveLength)
	}
	for {
		length, err := kernel.ReceiveNetlink(s.fd, s.buffer)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.ENOBUFS) || err == nil && length > len(s.buffer):
			return errMissed
		case err != nil:
			return err
		}
		messages, err := syscall.ParseNetlinkMessage(s.buffer[:length])
		if err != nil {
			return fmt.Errorf("netlink message: %w", err)
		}
		for i := range messages {
			f(&messages[i])
		}
	}
}

// request sends messages and calls f for what they are answered with; failed for errors, by the request's place.
func (s *socket) request(messages []netlink.Message, f func(m *syscall.NetlinkMessage), failed func(i int, err error)) error {
	first, err := s.send(messages)
	if err != nil {
		return err
	}
	return s.receive(func(m *syscall.NetlinkMessage) {
		i := int(m.Header.Seq - first)
		if m.Header.Seq < first || i >= len(messages) {
			return // of an earlier request
		}
		if m.Header.Type != unix.NLMSG_ERROR && m.Header.Type != unix.NLMSG_DONE {
			f(m)
			return
		}
		if len(m.Data) < 4 {
			return
		}
		var err error
		if number := int32(binary.NativeEndian.Uint32(m.Data)); number < 0 {
			err = unix.Errno(-number)
		}
		failed(i, err)
	})
}

// commit sends a transaction that the kernel does as a whole or not at all, and only if the rule set still has
// this generation: otherwise ERESTART.
func (s *socket) commit(generation uint32, messages []netlink.Message) error {
	frame := func(kind uint16, data []byte) netlink.Message {
		return netlink.Message{Header: netlink.Header{Type: netlink.HeaderType(kind), Flags: netlink.Request}, Data: data}
	}
	bound, err := netlink.MarshalAttributes([]netlink.Attribute{number32(batchGenID, generation)})
	if err != nil {
		return err
	}
	start := append(header(0, unix.NFNL_SUBSYS_NFTABLES), bound...)
	batch := append([]netlink.Message{frame(unix.NFNL_MSG_BATCH_BEGIN, start)}, messages...)
	last := len(batch) - 1
	batch[last].Header.Flags |= netlink.Acknowledge
	batch = append(batch, frame(unix.NFNL_MSG_BATCH_END, header(0, unix.NFNL_SUBSYS_NFTABLES)))
	var refused error
	acknowledged := false
	err = s.request(batch, func(*syscall.NetlinkMessage) {}, func(i int, err error) {
		if err == nil {
			acknowledged = acknowledged || i == last
		} else if refused == nil {
			refused = fmt.Errorf("%s: %w", describe(batch[i]), err)
		}
	})
	switch {
	case refused != nil:
		return refused
	case err != nil:
		return err
	case !acknowledged:
		return errNoAnswer
	}
	return nil
}

// describe names a request of a transaction.
func describe(m netlink.Message) string {
	switch m.Header.Type {
	case unix.NFNL_MSG_BATCH_BEGIN:
		return "transaction"
	case subsystem | unix.NFT_MSG_NEWTABLE:
		return "add table"
	case subsystem | unix.NFT_MSG_NEWCHAIN:
		return "add chain"
	case subsystem | unix.NFT_MSG_DELCHAIN:
		return "delete chain"
	case subsystem | unix.NFT_MSG_NEWRULE:
		return "add rule"
	case subsystem | unix.NFT_MSG_DELRULE:
		return "delete rule"
	}
	return fmt.Sprintf("request %d", m.Header.Type)
}
