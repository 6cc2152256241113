// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Family is what packets a table sees.
type Family = nftables.TableFamily

// Families of tables, as nft(8) calls them: inet, ip, ip6, bridge.
const (
	Inet   = nftables.TableFamilyINet
	IPv4   = nftables.TableFamilyIPv4
	IPv6   = nftables.TableFamilyIPv6
	Bridge = nftables.TableFamilyBridge
)

// ID names a table.
type ID struct {
	Family Family
	Name   string
}

// Table is what a table has beside the rules that come and go.
type Table struct {
	ID
	Comment string
	Chains  []Chain // in the order in which they are made
}

// Chain is one chain of a Table.
type Chain struct {
	Name, Comment string
	Hook          *Hook  // nil: a chain that others jump to
	Fixed         []Rule // not nil: the chain has these rules and no others
}

// Hook makes a chain see packets. Its policy is accept.
type Hook struct {
	Type     string // "nat", "filter"
	Number   uint32 // which numbers there are depends on the family
	Priority int32
}

// Hooks of nat, as nft(8) calls their priorities: dstnat, srcnat.
var (
	Prerouting  = Hook{Type: "nat", Number: unix.NF_INET_PRE_ROUTING, Priority: -100}
	Output      = Hook{Type: "nat", Number: unix.NF_INET_LOCAL_OUT, Priority: -100}
	Postrouting = Hook{Type: "nat", Number: unix.NF_INET_POST_ROUTING, Priority: 100}
)

// Rule is one rule.
type Rule struct {
	Expressions []expr.Any
	Comment     string // at most MaxComment bytes; "" is none
}

// MaxComment is how long nft(8) lets a comment be.
const MaxComment = 128
