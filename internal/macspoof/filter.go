// SPDX-License-Identifier: Apache-2.0

package macspoof

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/nft"
)

const prerouting = "PREROUTING"

// bridgeNAT is what all interfaces share, and what stays when the last one goes. Its hook is NF_BR_PRE_ROUTING, 0, at the priority
// that nft(8) calls dstnat in this family.
var bridgeNAT = nft.Table{
	ID:     nft.ID{Family: nft.Bridge, Name: "nat"},
	Chains: []nft.Chain{{Name: prerouting, Hook: &nft.Hook{Type: "filter", Priority: -300}}},
}

// Filter sets and removes the rules. Its methods may be called concurrently.
type Filter struct {
	tables *nft.Tables
}

// New makes a Filter. The tables stay the caller's.
func New(t *nft.Tables) *Filter { return &Filter{tables: t} }

// names of what belongs to one interface.
type names struct{ iface, mac, comment string }

func namesOf(refID string) names {
	iface := "cni-br-iface-" + refID
	return names{iface: iface, mac: iface + "-mac", comment: "macspoofchk-" + refID}
}

// Add lets only frames from mac in from the interface ifName, a bridge's port. refID names the rules; those with the same
// refID are replaced. ErrInvalidArgument for names that cannot be.
func (f *Filter) Add(ctx context.Context, ifName, mac, refID string) error {
	address, err := check(ifName, mac, refID)
	if err != nil {
		return fmt.Errorf("failed to setup spoof-check: %w", err)
	}
	n := namesOf(refID)
	err = f.tables.Do(ctx, func(tx *nft.Tx) error {
		id := bridgeNAT.ID
		tx.Ensure(bridgeNAT)
		for _, chain := range []string{n.iface, n.mac} {
			if tx.HasChain(id, chain) {
				tx.Flush(id, chain)
			} else {
				tx.AddChain(id, nft.Chain{Name: chain})
			}
		}
		tx.Delete(id, prerouting, tx.Find(id, prerouting, n.comment)...)
		tx.Append(id, prerouting, nft.Rule{Expressions: nft.Join(from(ifName), nft.Jump(n.iface)), Comment: n.comment})
		tx.Append(id, n.iface, nft.Rule{Expressions: nft.Jump(n.mac), Comment: n.comment})
		tx.Append(id, n.mac, nft.Rule{Expressions: nft.Join(sentBy(address), nft.Return()), Comment: n.comment})
		tx.Append(id, n.mac, nft.Rule{Expressions: drop(), Comment: n.comment})
		return nil
	})
	if err != nil {
		return fmt.Errorf("failed to setup spoof-check: %w", err)
	}
	return nil
}

// Del removes what Add, or the reference plugin, has made with this refID; nil when there is nothing.
func (f *Filter) Del(ctx context.Context, _, _, refID string) error {
	n := namesOf(refID)
	err := f.tables.Do(ctx, func(tx *nft.Tx) error {
		id := bridgeNAT.ID
		tx.Delete(id, prerouting, tx.Find(id, prerouting, n.comment)...)
		for _, chain := range []string{n.iface, n.mac} { // the one that jumps goes first
			if tx.HasChain(id, chain) {
				tx.DeleteChain(id, chain)
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, nft.ErrUnsupported) {
		return fmt.Errorf("failed to teardown spoof-check: %w", err)
	}
	return nil
}

func check(ifName, mac, refID string) (net.HardwareAddr, error) {
	if ifName == "" || len(ifName) >= unix.IFNAMSIZ || strings.ContainsRune(ifName, 0) {
		return nil, fmt.Errorf("interface %q: %w", ifName, errdefs.ErrInvalidArgument)
	}
	address, err := net.ParseMAC(mac)
	if err != nil || len(address) != 6 {
		return nil, fmt.Errorf("hardware address %q: %w", mac, errdefs.ErrInvalidArgument)
	}
	if refID == "" {
		return nil, fmt.Errorf("no reference: %w", errdefs.ErrInvalidArgument)
	}
	return address, nil
}

// from is "iifname NAME".
func from(ifName string) []expr.Any {
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, ifName)
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: name},
	}
}

// sentBy is "ether saddr ADDRESS".
func sentBy(address net.HardwareAddr) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseLLHeader, Offset: 6, Len: 6},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: address},
	}
}

func drop() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}} }
