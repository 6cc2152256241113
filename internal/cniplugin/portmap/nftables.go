// SPDX-License-Identifier: Apache-2.0

package portmap

import (
	"context"
	"fmt"
	"net"

	"github.com/sardine-run/sardine/internal/nft"
)

const (
	tableName = "cni_hostport"

	chainAll    = "hostports_all"
	chainPorts  = "hostports"
	chainHostIP = "hostip_hostports" // of older versions of the reference plugin; empty now
	chainMasq   = "masquerading"
)

var localhost = net.IPv4(127, 0, 0, 1)

func tableID(ipv6 bool) nft.ID {
	if ipv6 {
		return nft.ID{Family: nft.IPv6, Name: tableName}
	}
	return nft.ID{Family: nft.IPv4, Name: tableName}
}

// table is what the table has before it has rules of pods.
func table(ipv6, snat bool) nft.Table {
	toAll := []nft.Rule{{Expressions: nft.Join(nft.DestinationLocal(), nft.Jump(chainAll))}}
	chains := []nft.Chain{
		{Name: chainPorts},
		{Name: chainHostIP},
		{Name: chainAll, Fixed: []nft.Rule{{Expressions: nft.Jump(chainHostIP)}, {Expressions: nft.Jump(chainPorts)}}},
		{Name: "prerouting", Hook: &nft.Prerouting, Fixed: toAll},
		{Name: "output", Hook: &nft.Output, Fixed: toAll},
	}
	if snat {
		chains = append(chains, nft.Chain{Name: chainMasq, Hook: &nft.Postrouting})
	}
	return nft.Table{ID: tableID(ipv6), Comment: "CNI portmap plugin", Chains: chains}
}

// addNFTables adds the rules of both families in one transaction.
func (p *Plugin) addNFTables(ctx context.Context, c *config, rules []portRule) error {
	err := p.tables.Do(ctx, func(tx *nft.Tx) error {
		for _, n := range c.addresses() {
			tx.Ensure(table(isIPv6(n.IP), c.snat()))
		}
		for _, r := range rules {
			tx.Append(tableID(isIPv6(r.to.IP)), chainPorts, r.rule(c.id))
		}
		if c.snat() {
			for _, n := range c.addresses() {
				addMasquerade(tx, n.IP, c.id)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("unable to set up nftables rules for port mappings: %w", err)
	}
	return nil
}

func (r portRule) rule(id string) nft.Rule {
	expressions := nft.Join(nft.DestinationPort(r.protocol, uint16(r.HostPort)), nft.TranslateTo(r.to.IP, uint16(r.ContainerPort)))
	if r.hostIP != nil {
		expressions = nft.Join(nft.Destination(r.hostIP), expressions)
	}
	return nft.Rule{Expressions: expressions, Comment: id}
}

// addMasquerade is for packets that a pod sends to itself by a port of the node, and for those of the node's localhost.
func addMasquerade(tx *nft.Tx, ip net.IP, id string) {
	sources := []net.IP{ip}
	if !isIPv6(ip) {
		sources = append(sources, localhost)
	}
	for _, from := range sources {
		tx.Append(tableID(isIPv6(ip)), chainMasq, nft.Rule{
			Expressions: nft.Join(nft.Source(from), nft.Destination(ip), nft.Masquerade()), Comment: id})
	}
}

// delNFTables deletes the rules of a container and returns how many there were.
func (p *Plugin) delNFTables(ctx context.Context, c *config) (found int, err error) {
	err = p.tables.Do(ctx, func(tx *nft.Tx) error {
		found = 0
		for _, ipv6 := range []bool{false, true} {
			for _, chain := range []string{chainPorts, chainHostIP, chainMasq} {
				rules := tx.Find(tableID(ipv6), chain, c.id)
				tx.Delete(tableID(ipv6), chain, rules...)
				found += len(rules)
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("error deleting nftables rules: %w", err)
	}
	return found, nil
}

func (p *Plugin) checkNFTables(ctx context.Context, c *config) error {
	rules, err := portRules(c)
	if err != nil {
		return err
	}
	return p.tables.Do(ctx, func(tx *nft.Tx) error {
		for _, n := range c.addresses() {
			want := map[string]int{}
			for _, r := range rules {
				if r.to == n {
					want[chainPorts]++
				}
			}
			if c.snat() {
				if want[chainMasq] = 2; isIPv6(n.IP) {
					want[chainMasq] = 1
				}
			}
			for _, chain := range []string{chainPorts, chainMasq} {
				if len(tx.Find(tableID(isIPv6(n.IP)), chain, c.id)) < want[chain] {
					return fmt.Errorf("missing hostport rules in %q chain", chain)
				}
			}
		}
		return nil
	})
}
