// SPDX-License-Identifier: Apache-2.0

package masquerade

import (
	"context"
	"crypto/sha512"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/sardine-run/sardine/internal/nft"
)

// checks is the chain that has a rule for each address of a pod.
const checks = "masq_checks"

var (
	multicast4 = &net.IPNet{IP: net.IPv4(224, 0, 0, 0), Mask: net.CIDRMask(4, 32)}
	multicast6 = &net.IPNet{IP: net.ParseIP("ff00::"), Mask: net.CIDRMask(8, 128)}

	table = nft.Table{
		ID:      nft.ID{Family: nft.Inet, Name: "cni_plugins_masquerade"},
		Comment: "Masquerading for plugins from github.com/containernetworking/plugins",
		Chains: []nft.Chain{
			{Name: checks, Comment: "Masquerade traffic from certain IPs to any (non-multicast) IP outside their subnet"},
			{Name: "postrouting", Hook: &nft.Postrouting, Fixed: []nft.Rule{
				{Expressions: nft.Join(nft.Protocol(multicast4.IP), nft.DestinationIn(multicast4, false), nft.Return())},
				{Expressions: nft.Join(nft.Protocol(multicast6.IP), nft.DestinationIn(multicast6, false), nft.Return())},
				{Expressions: nft.Goto(checks)},
			}},
		},
	}
)

// collectAtOnce is how many rules GC deletes in one transaction: it holds up all others.
const collectAtOnce = 500

func hash(of string) string {
	return fmt.Sprintf("%x", sha512.Sum512([]byte(of)))[:16]
}

func networkHash(network string) string { return hash(network) }

// attachmentHash starts the comments of an attachment's rules.
func attachmentHash(network, ifName, id string) string {
	return networkHash(network) + "-" + hash(ifName+":"+id)
}

func comment(network, ifName, id string) string {
	unquoted := strings.NewReplacer(`"`, "")
	text := fmt.Sprintf("%s, net: %s, if: %s, id: %s", attachmentHash(network, ifName, id),
		unquoted.Replace(network), unquoted.Replace(ifName), unquoted.Replace(id))
	return text[:min(len(text), nft.MaxComment)]
}

func (r *Rules) addNFTables(ctx context.Context, nets []*net.IPNet, network, ifName, id string) error {
	text := comment(network, ifName, id)
	return r.tables.Do(ctx, func(tx *nft.Tx) error {
		stale := tx.FindPrefix(table.ID, checks, attachmentHash(network, ifName, id))
		tx.Ensure(table)
		tx.Delete(table.ID, checks, stale...)
		for _, n := range nets {
			outside := &net.IPNet{IP: n.IP.Mask(n.Mask), Mask: n.Mask}
			tx.Append(table.ID, checks, nft.Rule{Comment: text, Expressions: nft.Join(
				nft.Protocol(n.IP), nft.Source(n.IP), nft.DestinationIn(outside, true), nft.Masquerade())})
		}
		return nil
	})
}

func (r *Rules) delNFTables(ctx context.Context, network, ifName, id string) (found int, err error) {
	err = r.tables.Do(ctx, func(tx *nft.Tx) error {
		rules := tx.FindPrefix(table.ID, checks, attachmentHash(network, ifName, id))
		tx.Delete(table.ID, checks, rules...)
		found = len(rules)
		return nil
	})
	return found, err
}

func (r *Rules) collectNFTables(ctx context.Context, network string, valid []types.GCAttachment) error {
	keep := map[string]bool{}
	for _, a := range valid {
		keep[comment(network, a.IfName, a.ContainerID)] = true
	}
	for more := true; more; {
		err := r.tables.Do(ctx, func(tx *nft.Tx) error {
			rules := tx.FindPrefix(table.ID, checks, networkHash(network))
			rules = slices.DeleteFunc(rules, func(f nft.Found) bool { return keep[f.Comment] })
			more = len(rules) > collectAtOnce
			tx.Delete(table.ID, checks, rules[:min(len(rules), collectAtOnce)]...)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
