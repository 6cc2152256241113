// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"fmt"

	"github.com/containerd/log"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// What iptables and those who use it call things.
const (
	filterTable  = "filter"
	forwardChain = "FORWARD"
	// userChain is for rules that Docker leaves alone, and asks before its own.
	userChain = "DOCKER-USER"
)

// letForward has the host forward what comes from the default network and what goes there, where the policy of iptables' FORWARD chain
// is to drop: Docker and ufw set it, and no table of one's own can change what another one drops. Rules are what iptables would make of "-i
// BRIDGE -j ACCEPT" and "-o BRIDGE -j ACCEPT". Other tables that drop are only named.
func letForward(bridge string) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6, nftables.TableFamilyINet} {
		chains, err := c.ListChainsOfTableFamily(family)
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EPROTONOSUPPORT) {
			return nil // nobody filters by nftables here
		}
		if err != nil {
			return fmt.Errorf("list chains: %w", err)
		}
		if err := letForwardIn(c, chains, bridge); err != nil {
			return err
		}
	}
	return nil
}

func letForwardIn(c *nftables.Conn, chains []*nftables.Chain, bridge string) error {
	var place *nftables.Chain // before the chain that drops, or in it
	for _, chain := range chains {
		switch {
		case !drops(chain):
		case chain.Table.Family == nftables.TableFamilyINet || chain.Table.Name != filterTable || chain.Name != forwardChain:
			log.L.Warnf("cni: table %s drops what it does not know to forward (chain %s): the default network reaches no further than this host "+
				"unless interface %s is accepted there", chain.Table.Name, chain.Name, bridge)
		default:
			place = chain
		}
	}
	if place == nil {
		return nil
	}
	for _, chain := range chains {
		if chain.Table.Name == filterTable && chain.Name == userChain {
			place = chain
		}
	}
	return acceptIn(c, place, bridge)
}

func drops(c *nftables.Chain) bool {
	return c.Hooknum != nil && *c.Hooknum == *nftables.ChainHookForward && c.Type == nftables.ChainTypeFilter &&
		c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop
}

// acceptIn puts the rules first, unless they are there.
func acceptIn(c *nftables.Conn, chain *nftables.Chain, bridge string) error {
	rules, err := c.GetRules(chain.Table, chain)
	if err != nil {
		return fmt.Errorf("list rules of chain %s: %w", chain.Name, err)
	}
	missing := false
	for _, key := range []expr.MetaKey{expr.MetaKeyOIFNAME, expr.MetaKeyIIFNAME} {
		if !hasAccept(rules, key, bridge) {
			missing = true
			c.InsertRule(&nftables.Rule{Table: chain.Table, Chain: chain, Exprs: accept(key, bridge)})
		}
	}
	if !missing {
		return nil
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("accept interface %s in chain %s: %w", bridge, chain.Name, err)
	}
	log.L.Infof("cni: the host drops what it does not know to forward, so interface %s is accepted in chain %s", bridge, chain.Name)
	return nil
}

func accept(key expr.MetaKey, bridge string) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: interfaceName(bridge)},
		&expr.Counter{},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}
}

// interfaceName is compared with its null, so that eth1 is not eth10.
func interfaceName(name string) []byte { return append([]byte(name), 0) }

// hasAccept looks for what accept makes.
func hasAccept(rules []*nftables.Rule, key expr.MetaKey, bridge string) bool {
	for _, r := range rules {
		if len(r.Exprs) != 4 {
			continue
		}
		meta, ok1 := r.Exprs[0].(*expr.Meta)
		cmp, ok2 := r.Exprs[1].(*expr.Cmp)
		verdict, ok3 := r.Exprs[3].(*expr.Verdict)
		if ok1 && ok2 && ok3 && meta.Key == key && string(cmp.Data) == string(interfaceName(bridge)) && verdict.Kind == expr.VerdictAccept {
			return true
		}
	}
	return false
}
