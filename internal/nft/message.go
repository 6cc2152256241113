// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	subsystem      = unix.NFNL_SUBSYS_NFTABLES << 8
	headerLength   = 4 // struct nfgenmsg
	batchGenID     = 1 // NFNL_BATCH_GENID
	tableUserData  = 6 // NFTA_TABLE_USERDATA
	chainUserData  = 12
	maxNameLength  = 255 // NFT_NAME_MAXLEN
	policyAccept   = 1   // NF_ACCEPT
	commentOfUdata = 0   // NFTNL_UDATA_RULE_COMMENT, of tables and chains the same number
)

// header is struct nfgenmsg: family, version, resource.
func header(family Family, resource uint16) []byte {
	return binary.BigEndian.AppendUint16([]byte{byte(family), unix.NFNETLINK_V0}, resource)
}

// message makes a request of one kind.
func message(kind uint16, flags netlink.HeaderFlags, family Family, attributes ...netlink.Attribute) (netlink.Message, error) {
	m := netlink.Message{Header: netlink.Header{Type: netlink.HeaderType(subsystem | kind), Flags: netlink.Request | flags}}
	encoded, err := netlink.MarshalAttributes(attributes)
	if err != nil {
		return m, err
	}
	m.Data = append(header(family, 0), encoded...)
	return m, nil
}

func text(kind uint16, value string) netlink.Attribute {
	return netlink.Attribute{Type: kind, Data: append([]byte(value), 0)}
}

func number32(kind uint16, value uint32) netlink.Attribute {
	return netlink.Attribute{Type: kind, Data: binary.BigEndian.AppendUint32(nil, value)}
}

func number64(kind uint16, value uint64) netlink.Attribute {
	return netlink.Attribute{Type: kind, Data: binary.BigEndian.AppendUint64(nil, value)}
}

// userData is a comment as libnftnl writes it: type, length, text with a zero byte.
func userData(kind uint16, comment string) netlink.Attribute {
	data := append([]byte{commentOfUdata, byte(len(comment) + 1)}, comment...)
	return netlink.Attribute{Type: kind, Data: append(data, 0)}
}

// comment finds the comment in what userData made, or nft(8) did.
func comment(data []byte) string {
	for len(data) >= 2 {
		kind, length := data[0], int(data[1])
		if data = data[2:]; length > len(data) {
			return ""
		}
		if kind == commentOfUdata {
			return strings.TrimSuffix(string(data[:length]), "\x00")
		}
		data = data[length:]
	}
	return ""
}

// checkComment refuses what nft(8) could not print so that it can read it.
func checkComment(comment string) error {
	if len(comment) > MaxComment {
		return fmt.Errorf("comment of %d bytes, %d are the most", len(comment), MaxComment)
	}
	if i := strings.IndexFunc(comment, func(r rune) bool { return r < ' ' || r == '"' || r == 0x7f }); i >= 0 {
		return fmt.Errorf("comment %q has a character that cannot be in one", comment)
	}
	return nil
}

func checkName(name string) error {
	if name == "" || len(name) > maxNameLength || strings.ContainsRune(name, 0) {
		return fmt.Errorf("name %q of a table or chain", name)
	}
	return nil
}

// encode makes NFTA_RULE_EXPRESSIONS.
func encode(family Family, expressions []expr.Any) ([]byte, error) {
	list := make([]netlink.Attribute, len(expressions))
	for i, e := range expressions {
		data, err := expr.Marshal(byte(family), e)
		if err != nil {
			return nil, err
		}
		list[i] = netlink.Attribute{Type: unix.NLA_F_NESTED | unix.NFTA_LIST_ELEM, Data: data}
	}
	return netlink.MarshalAttributes(list)
}
