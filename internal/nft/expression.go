// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"encoding/binary"
	"net"
	"slices"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The expressions below are those that nft(8) compiles the text in their comments to, so that it prints that text.
// Registers are the ones of 16 bytes.

// Join makes one list of expressions.
func Join(parts ...[]expr.Any) []expr.Any { return slices.Concat(parts...) }

// Source is "ip saddr IP" or "ip6 saddr IP", for a table of that family.
func Source(ip net.IP) []expr.Any { return address(ip, 12, 8) }

// Destination is "ip daddr IP" or "ip6 daddr IP".
func Destination(ip net.IP) []expr.Any { return address(ip, 16, 24) }

func address(ip net.IP, offset4, offset6 uint32) []expr.Any {
	if ip4 := ip.To4(); ip4 != nil {
		return compare(expr.PayloadBaseNetworkHeader, offset4, expr.CmpOpEq, ip4)
	}
	return compare(expr.PayloadBaseNetworkHeader, offset6, expr.CmpOpEq, ip.To16())
}

// Protocol is "meta nfproto ipv4" or ipv6, which in a table of the family inet goes before an address of ip.
func Protocol(ip net.IP) []expr.Any {
	number := byte(unix.NFPROTO_IPV6)
	if ip.To4() != nil {
		number = unix.NFPROTO_IPV4
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{number}},
	}
}

// DestinationIn is "ip daddr NET"; not makes it "ip daddr != NET".
func DestinationIn(n *net.IPNet, not bool) []expr.Any {
	op, ip, offset := expr.CmpOpEq, n.IP.To4(), uint32(16)
	if not {
		op = expr.CmpOpNeq
	}
	if ip == nil {
		ip, offset = n.IP.To16(), 24
	}
	ones, _ := n.Mask.Size()
	if ones > 0 && ones%8 == 0 {
		return compare(expr.PayloadBaseNetworkHeader, offset, op, ip[:ones/8])
	}
	length := len(ip)
	mask := net.CIDRMask(ones, 8*length)
	load := compare(expr.PayloadBaseNetworkHeader, offset, op, ip.Mask(mask))
	masked := &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(length), Mask: mask, Xor: make([]byte, length)}
	return slices.Insert(load, 1, expr.Any(masked))
}

func compare(base expr.PayloadBase, offset uint32, op expr.CmpOp, value []byte) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: base, Offset: offset, Len: uint32(len(value))},
		&expr.Cmp{Op: op, Register: 1, Data: value},
	}
}

// DestinationPort is "tcp dport PORT", or of another protocol with ports at the same place.
func DestinationPort(protocol byte, port uint16) []expr.Any {
	return append([]expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocol}},
	}, compare(expr.PayloadBaseTransportHeader, 2, expr.CmpOpEq, binary.BigEndian.AppendUint16(nil, port))...)
}

// DestinationLocal is "fib daddr type local".
func DestinationLocal() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: 1, ResultADDRTYPE: true, FlagDADDR: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.NativeEndian.AppendUint32(nil, unix.RTN_LOCAL)},
	}
}

// TranslateTo is "dnat to IP:PORT", in a table of the address's family.
func TranslateTo(ip net.IP, port uint16) []expr.Any {
	family, to := uint32(unix.NFPROTO_IPV4), ip.To4()
	if to == nil {
		family, to = unix.NFPROTO_IPV6, ip.To16()
	}
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: to},
		&expr.Immediate{Register: 2, Data: binary.BigEndian.AppendUint16(nil, port)},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: family, RegAddrMin: 1, RegProtoMin: 2},
	}
}

// Masquerade is "masquerade".
func Masquerade() []expr.Any { return []expr.Any{&expr.Masq{}} }

// Jump is "jump CHAIN".
func Jump(chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: chain}}
}

// Goto is "goto CHAIN".
func Goto(chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictGoto, Chain: chain}}
}

// Return is "return".
func Return() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictReturn}} }
