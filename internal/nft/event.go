// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"encoding/binary"
	"strings"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Attributes of linux/netfilter/nf_tables.h. A table's name is the first in all messages but that of a generation.
const (
	attributeTable = 1
	ruleChain      = unix.NFTA_RULE_CHAIN
	ruleHandle     = unix.NFTA_RULE_HANDLE
	ruleUserData   = unix.NFTA_RULE_USERDATA
	chainName      = unix.NFTA_CHAIN_NAME
	chainHook      = unix.NFTA_CHAIN_HOOK
	chainType      = unix.NFTA_CHAIN_TYPE
	generationID   = unix.NFTA_GEN_ID
)

// object is a table, chain or rule as the kernel tells it.
type object struct {
	kind    uint16 // NFT_MSG_NEWRULE and so on
	port    uint32 // of the socket that changed it
	table   ID
	chain   string
	hook    *Hook
	handle  uint64
	comment string
	genID   uint32
}

// decode reads a message. ok is false for what is of no interest.
func decode(m *syscall.NetlinkMessage) (o object, ok bool) {
	if m.Header.Type&0xff00 != subsystem || len(m.Data) < headerLength {
		return o, false
	}
	o.kind, o.port, o.table.Family = m.Header.Type&0xff, m.Header.Pid, Family(m.Data[0])
	ad, err := netlink.NewAttributeDecoder(m.Data[headerLength:])
	if err != nil {
		return o, false
	}
	ad.ByteOrder = binary.BigEndian
	switch o.kind {
	case unix.NFT_MSG_NEWTABLE, unix.NFT_MSG_DELTABLE:
		o.decodeTable(ad)
	case unix.NFT_MSG_NEWCHAIN, unix.NFT_MSG_DELCHAIN:
		o.decodeChain(ad)
	case unix.NFT_MSG_NEWRULE, unix.NFT_MSG_DELRULE:
		o.decodeRule(ad)
	case unix.NFT_MSG_NEWGEN:
		for ad.Next() {
			if ad.Type() == generationID {
				o.genID = ad.Uint32()
			}
		}
	default:
		return o, false
	}
	return o, ad.Err() == nil
}

func (o *object) decodeTable(ad *netlink.AttributeDecoder) {
	for ad.Next() {
		if ad.Type() == attributeTable {
			o.table.Name = strings.Clone(ad.String())
		}
	}
}

func (o *object) decodeChain(ad *netlink.AttributeDecoder) {
	var hook Hook
	for ad.Next() {
		switch ad.Type() {
		case attributeTable:
			o.table.Name = strings.Clone(ad.String())
		case chainName:
			o.chain = strings.Clone(ad.String())
		case chainType:
			hook.Type = strings.Clone(ad.String())
		case chainHook:
			o.hook = &hook
			ad.Nested(func(nested *netlink.AttributeDecoder) error {
				nested.ByteOrder = binary.BigEndian
				for nested.Next() {
					switch nested.Type() {
					case unix.NFTA_HOOK_HOOKNUM:
						hook.Number = nested.Uint32()
					case unix.NFTA_HOOK_PRIORITY:
						hook.Priority = int32(nested.Uint32())
					}
				}
				return nil
			})
		}
	}
}

func (o *object) decodeRule(ad *netlink.AttributeDecoder) {
	for ad.Next() {
		switch ad.Type() {
		case attributeTable:
			o.table.Name = strings.Clone(ad.String())
		case ruleChain:
			o.chain = strings.Clone(ad.String())
		case ruleHandle:
			o.handle = ad.Uint64()
		case ruleUserData:
			o.comment = comment(ad.Bytes())
		}
	}
}

// apply brings the index up to date with one change. Applying what it has already does nothing.
func (x index) apply(o object, own bool) {
	t := x[o.table]
	if t == nil {
		return
	}
	switch o.kind {
	case unix.NFT_MSG_NEWTABLE:
		t.exists = true
	case unix.NFT_MSG_DELTABLE:
		*t = *newTable()
	case unix.NFT_MSG_NEWCHAIN:
		if c := t.chains[o.chain]; c == nil {
			t.chains[o.chain] = newChain(o.hook)
		} else {
			c.hook = o.hook
		}
	case unix.NFT_MSG_DELCHAIN:
		delete(t.chains, o.chain)
	default:
		x.applyRule(t, o, own)
	}
}

func (x index) applyRule(t *table, o object, own bool) {
	c := t.chains[o.chain]
	if c == nil {
		if o.kind == unix.NFT_MSG_NEWRULE {
			delete(x, o.table) // its chain must have been renamed: to be read again
		}
		return
	}
	if !own {
		c.fixed = ""
	}
	if o.kind == unix.NFT_MSG_NEWRULE {
		c.add(o.handle, o.comment)
	} else {
		c.remove(o.handle)
	}
}
