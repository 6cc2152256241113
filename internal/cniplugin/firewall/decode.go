// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	subsystem    = unix.NFNL_SUBSYS_NFTABLES << 8
	headerLength = 4 // struct nfgenmsg
)

// told is a rule as the kernel tells it.
type told struct {
	rule
	family byte
	table  string
	handle uint64
	alien  bool // it has something that rules of ours do not
}

// decodeRule reads NFT_MSG_NEWRULE. ok is false for everything else.
func decodeRule(m *syscall.NetlinkMessage) (t told, ok bool) {
	if m.Header.Type != subsystem|unix.NFT_MSG_NEWRULE || len(m.Data) < headerLength {
		return t, false
	}
	t.family = m.Data[0]
	err := attributes(m.Data[headerLength:], func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case unix.NFTA_RULE_TABLE:
			t.table = ad.String()
		case unix.NFTA_RULE_CHAIN:
			t.chain = ad.String()
		case unix.NFTA_RULE_HANDLE:
			t.handle = ad.Uint64()
		case unix.NFTA_RULE_EXPRESSIONS:
			t.expressions(ad.Bytes())
		case unix.NFTA_RULE_USERDATA:
			if comment := commentOf(ad.Bytes()); comment != "" {
				t.comment = comment
			}
		}
	})
	return t, err == nil
}

// commentOf finds the comment in what libnftnl lets programs keep with a rule: type, length and value, each
// with a byte for type and length.
func commentOf(data []byte) string {
	for len(data) >= 2 && len(data) >= 2+int(data[1]) {
		if data[0] == 0 { // NFTNL_UDATA_RULE_COMMENT
			return string(bytes.TrimRight(data[2:2+data[1]], "\x00"))
		}
		data = data[2+int(data[1]):]
	}
	return ""
}

// decodeChain returns the name of a chain of the table filter.
func decodeChain(m *syscall.NetlinkMessage) (name string) {
	if m.Header.Type != subsystem|unix.NFT_MSG_NEWCHAIN || len(m.Data) < headerLength {
		return ""
	}
	return strings.TrimRight(string(bytesOf(m.Data[headerLength:], unix.NFTA_CHAIN_NAME)), "\x00")
}

// attributes calls f for each.
func attributes(data []byte, f func(ad *netlink.AttributeDecoder)) error {
	ad, err := netlink.NewAttributeDecoder(data)
	if err != nil {
		return err
	}
	ad.ByteOrder = binary.BigEndian
	for ad.Next() {
		f(ad)
	}
	return ad.Err()
}

// loaded is what the last expression has put into the register.
type loaded struct {
	meta         uint32
	base, offset uint32
	length       uint32
	payload, ct  bool
}

func (t *told) expressions(list []byte) {
	var register loaded
	err := attributes(list, func(element *netlink.AttributeDecoder) {
		var name string
		var data []byte
		err := attributes(element.Bytes(), func(ad *netlink.AttributeDecoder) {
			switch ad.Type() {
			case unix.NFTA_EXPR_NAME:
				name = ad.String()
			case unix.NFTA_EXPR_DATA:
				data = ad.Bytes()
			}
		})
		if err != nil || !t.expression(name, data, &register) {
			t.alien = true
		}
	})
	if err != nil {
		t.alien = true
	}
}

// expression is false for what rules of the plugin do not have. Those are what iptables of all versions on nf_tables makes.
func (t *told) expression(name string, data []byte, register *loaded) bool {
	switch name {
	case "counter":
		return true
	case "meta":
		*register = loaded{meta: uint32Of(data, unix.NFTA_META_KEY)}
		return true
	case "payload":
		*register = loaded{
			payload: true, base: uint32Of(data, unix.NFTA_PAYLOAD_BASE),
			offset: uint32Of(data, unix.NFTA_PAYLOAD_OFFSET), length: uint32Of(data, unix.NFTA_PAYLOAD_LEN),
		}
		return true
	case "ct":
		*register = loaded{ct: true}
		return uint32Of(data, unix.NFTA_CT_KEY) == unix.NFT_CT_STATE
	case "bitwise":
		return register.ct
	case "cmp":
		return t.compare(data, *register)
	case "match":
		return t.match(data)
	case "immediate":
		return t.verdict(data)
	}
	return false
}

func uint32Of(data []byte, kind uint16) (value uint32) {
	if attributes(data, func(ad *netlink.AttributeDecoder) {
		if ad.Type() == kind {
			value = ad.Uint32()
		}
	}) != nil {
		return 1<<32 - 1
	}
	return value
}

// bytesOf follows a path of nested attributes. nil when there is none.
func bytesOf(data []byte, path ...uint16) []byte {
	for _, kind := range path {
		var inner []byte
		err := attributes(data, func(ad *netlink.AttributeDecoder) {
			if ad.Type() == kind {
				inner = ad.Bytes()
			}
		})
		if err != nil {
			return nil
		}
		data = inner
	}
	return data
}

func (t *told) compare(data []byte, register loaded) bool {
	op, value := uint32Of(data, unix.NFTA_CMP_OP), bytesOf(data, unix.NFTA_CMP_DATA, unix.NFTA_DATA_VALUE)
	if op != unix.NFT_CMP_EQ && op != unix.NFT_CMP_NEQ {
		return false
	}
	not := op == unix.NFT_CMP_NEQ
	switch {
	case register.ct:
		t.established = true
		return not
	case register.payload:
		return !not && t.setAddress(register, value)
	case register.meta == unix.NFT_META_IIFNAME:
		t.in = interfaceName(value)
		return !not
	case register.meta == unix.NFT_META_OIFNAME:
		t.out, t.notOut = interfaceName(value), not
		return true
	}
	return false
}

// interfaceName ends with a zero byte; one without it is the start of names.
func interfaceName(value []byte) string {
	name, _, whole := bytes.Cut(value, []byte{0})
	if !whole {
		return string(name) + "+"
	}
	return string(name)
}

// setAddress reads source or destination, whole, in the header of IP.
func (t *told) setAddress(register loaded, value []byte) bool {
	a, ok := netip.AddrFromSlice(value)
	if !ok || register.base != unix.NFT_PAYLOAD_NETWORK_HEADER || int(register.length) != len(value) {
		return false
	}
	switch {
	case a.Is4() && register.offset == 12, a.Is6() && register.offset == 8:
		t.from = a
	case a.Is4() && register.offset == 16, a.Is6() && register.offset == 24:
		t.to = a
	default:
		return false
	}
	return true
}

func (t *told) match(data []byte) bool {
	switch string(bytes.TrimRight(bytesOf(data, unix.NFTA_MATCH_NAME), "\x00")) {
	case "comment":
		comment, _, _ := bytes.Cut(bytesOf(data, unix.NFTA_MATCH_INFO), []byte{0})
		t.comment = string(comment)
		return true
	case "conntrack":
		t.established = true
		return true
	}
	return false
}

func (t *told) verdict(data []byte) bool {
	data = bytesOf(data, unix.NFTA_IMMEDIATE_DATA, unix.NFTA_DATA_VERDICT)
	if data == nil {
		return false
	}
	switch int32(uint32Of(data, unix.NFTA_VERDICT_CODE)) {
	case 0: // NF_DROP
		t.target = "DROP"
	case 1: // NF_ACCEPT
		t.target = "ACCEPT"
	case unix.NFT_RETURN:
		t.target = "RETURN"
	case unix.NFT_JUMP:
		t.target = strings.TrimRight(string(bytesOf(data, unix.NFTA_VERDICT_CHAIN)), "\x00")
	default:
		return false
	}
	return true
}
