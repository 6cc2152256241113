// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
	"github.com/sardine-run/sardine/internal/netif"
)

const receiveLength = 64 << 10

// socket is a netfilter socket. The kernel has answered when sending returns, so nothing is waited for.
type socket struct {
	fd     int
	buffer []byte
}

func dial(host *netif.Namespace) (*socket, error) {
	s := &socket{buffer: make([]byte, receiveLength)}
	err := host.Do(func() (err error) {
		s.fd, _, err = kernel.Netlink(unix.NETLINK_NETFILTER)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("netfilter socket: %w", err)
	}
	return s, nil
}

func (s *socket) close() error { return unix.Close(s.fd) }

// receive calls f for all messages that are there. ENOBUFS when some were lost.
func (s *socket) receive(f func(m *syscall.NetlinkMessage)) error {
	for {
		length, err := kernel.ReceiveNetlink(s.fd, s.buffer)
		if errors.Is(err, unix.EAGAIN) {
			return nil
		}
		if err == nil && length > len(s.buffer) {
			err = unix.ENOBUFS
		}
		if err != nil {
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

// ask sends requests in one go and calls f for the answers. That something does not exist is no error.
func (s *socket) ask(f func(m *syscall.NetlinkMessage), messages ...netlink.Message) error {
	err := s.request(messages, f)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// request is ask, but everything that is refused is an error: the first, or the first that is not ENOENT.
func (s *socket) request(messages []netlink.Message, f func(m *syscall.NetlinkMessage)) error {
	var datagram []byte
	for i, m := range messages {
		m.Header.Flags |= netlink.Request
		m.Header.Sequence = uint32(i + 1)
		for len(m.Data)%4 != 0 {
			m.Data = append(m.Data, 0)
		}
		m.Header.Length = uint32(16 + len(m.Data)) // struct nlmsghdr
		encoded, err := m.MarshalBinary()
		if err != nil {
			return err
		}
		datagram = append(datagram, encoded...)
	}
	if err := kernel.SendNetlink(s.fd, datagram); err != nil {
		return err
	}
	var refused error
	err := s.receive(func(m *syscall.NetlinkMessage) {
		if m.Header.Flags&unix.NLM_F_DUMP_INTR != 0 && refused == nil {
			refused = unix.EINTR
		}
		if m.Header.Type == unix.NLMSG_ERROR && len(m.Data) >= 4 {
			number := -int32(binary.NativeEndian.Uint32(m.Data))
			if number != 0 && (refused == nil || errors.Is(refused, unix.ENOENT)) {
				refused = unix.Errno(number)
			}
			return
		}
		f(m)
	})
	return errors.Join(err, refused)
}

// about makes a request about a part of the table filter.
func about(kind uint16, flags netlink.HeaderFlags, family byte, parts ...netlink.Attribute) netlink.Message {
	list := append([]netlink.Attribute{{Type: 1, Data: []byte("filter\x00")}}, parts...) // NFTA_*_TABLE
	data, err := netlink.MarshalAttributes(list)
	if err != nil {
		data = nil // cannot be: the kernel refuses a message without a table
	}
	return netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(subsystem | kind), Flags: flags},
		Data:   append([]byte{family, unix.NFNETLINK_V0, 0, 0}, data...),
	}
}

func inChain(chain string) netlink.Attribute {
	return netlink.Attribute{Type: unix.NFTA_RULE_CHAIN, Data: append([]byte(chain), 0)}
}

func withHandle(handle uint64) netlink.Attribute {
	return netlink.Attribute{Type: unix.NFTA_RULE_HANDLE, Data: binary.BigEndian.AppendUint64(nil, handle)}
}

// getChain asks for a chain by its name.
func getChain(family byte, chain string) netlink.Message {
	return about(unix.NFT_MSG_GETCHAIN, 0, family, netlink.Attribute{Type: unix.NFTA_CHAIN_NAME, Data: append([]byte(chain), 0)})
}

func getRule(family byte, chain string, handle uint64) netlink.Message {
	return about(unix.NFT_MSG_GETRULE, 0, family, inChain(chain), withHandle(handle))
}

// listRules asks for all rules of a chain.
func listRules(family byte, chain string) netlink.Message {
	return about(unix.NFT_MSG_GETRULE, netlink.Dump, family, inChain(chain))
}

// getGeneration asks for the number that every change of the rule set increases.
func getGeneration() netlink.Message {
	return netlink.Message{
		Header: netlink.Header{Type: subsystem | unix.NFT_MSG_GETGEN},
		Data:   []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0},
	}
}

// deleteRules is a transaction; it is refused with ERESTART when the rule set is of another generation.
func deleteRules(family byte, chain string, handles []uint64, generation uint32) ([]netlink.Message, error) {
	frame := netlink.Message{Data: []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES}}
	bound, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: 1, Data: binary.BigEndian.AppendUint32(nil, generation)}, // NFNL_BATCH_GENID
	})
	if err != nil {
		return nil, err
	}
	start, end := frame, frame
	start.Header.Type, end.Header.Type = unix.NFNL_MSG_BATCH_BEGIN, unix.NFNL_MSG_BATCH_END
	start.Data = append(start.Data[:len(start.Data):len(start.Data)], bound...)
	batch := []netlink.Message{start}
	for _, h := range handles {
		batch = append(batch, about(unix.NFT_MSG_DELRULE, netlink.Acknowledge, family, inChain(chain), withHandle(h)))
	}
	return append(batch, end), nil
}
