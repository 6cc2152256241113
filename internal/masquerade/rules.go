// SPDX-License-Identifier: Apache-2.0

package masquerade

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/sardine-run/sardine/internal/iptables"
	"github.com/sardine-run/sardine/internal/netif"
	"github.com/sardine-run/sardine/internal/nft"
)

// Rules are the node's rules that masquerade. Its methods may be called concurrently.
type Rules struct {
	tables   *nft.Tables
	programs *iptables.Programs
}

// New makes Rules that lie in t, or in iptables where a configuration or the kernel asks for it.
func New(t *nft.Tables) *Rules {
	return &Rules{tables: t, programs: iptables.New(t)}
}

// Add masquerades what comes from the addresses of nets and goes outside of their networks. backend is "nftables", "iptables" or "": the
// former where the kernel has it. Rules of an earlier Add of the same attachment are replaced.
func (r *Rules) Add(ctx context.Context, backend string, nets []*net.IPNet, network, ifName, id string) error {
	for _, n := range nets {
		if n == nil || n.IP.To16() == nil || !netif.WellFormed(n) {
			return fmt.Errorf("masquerading: %v is no address with its network", n)
		}
	}
	switch backend {
	case "":
		err := r.addNFTables(ctx, nets, network, ifName, id)
		if errors.Is(err, nft.ErrUnsupported) {
			return r.addIPTables(ctx, nets, network, id)
		}
		return err
	case "nftables":
		return r.addNFTables(ctx, nets, network, ifName, id)
	case "iptables":
		return r.addIPTables(ctx, nets, network, id)
	}
	return fmt.Errorf("unknown ipmasq backend %q", backend)
}

// Del undoes Add, of whatever backend. nil when there is nothing. The attachment's rules are known by its names, not by nets.
func (r *Rules) Del(ctx context.Context, _ []*net.IPNet, network, ifName, id string) error {
	found, err := r.delNFTables(ctx, network, ifName, id)
	if errors.Is(err, nft.ErrUnsupported) {
		err = nil
	}
	// What was attached with nftables has nothing in iptables-legacy.
	return errors.Join(err, r.delIPTables(ctx, network, id, found == 0))
}

// GC deletes the rules of a network's attachments that are not valid any more. As with the reference plugins, those of iptables, which do not tell their network, stay.
func (r *Rules) GC(ctx context.Context, network string, valid []types.GCAttachment) error {
	err := r.collectNFTables(ctx, network, valid)
	if errors.Is(err, nft.ErrUnsupported) {
		return nil
	}
	return err
}
