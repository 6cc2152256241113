// SPDX-License-Identifier: Apache-2.0

package masquerade

import (
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"net"

	"github.com/sardine-run/sardine/internal/iptables"
)

const (
	natTable    = "nat"
	postrouting = "POSTROUTING"
)

// chainName is the chain of an attachment in iptables, whatever its interface.
func chainName(network, id string) string {
	return fmt.Sprintf("CNI-%x", sha512.Sum512([]byte(network+id)))[:28]
}

func chainComment(network, id string) []string {
	return []string{"-m", "comment", "--comment", fmt.Sprintf("name: %q id: %q", network, id)}
}

func (r *Rules) addIPTables(ctx context.Context, nets []*net.IPNet, network, id string) error {
	chain := chainName(network, id)
	for _, n := range nets {
		program, err := r.programs.Default(ctx, n.IP.To4() == nil)
		if err != nil {
			return fmt.Errorf("failed to locate iptables: %w", err)
		}
		if err := addChain(ctx, program, n, chain, chainComment(network, id)); err != nil {
			return err
		}
	}
	return nil
}

// addChain makes a chain for an address: it accepts what stays in the network and masquerades the rest but multicast.
func addChain(ctx context.Context, program *iptables.Program, n *net.IPNet, chain string, comment []string) error {
	exists, err := program.ChainExists(natTable, chain)
	if err != nil {
		return fmt.Errorf("failed to list chains: %w", err)
	}
	if !exists {
		if err := program.NewChain(natTable, chain); err != nil {
			return err
		}
	}
	multicast := multicast4
	if n.IP.To4() == nil {
		multicast = multicast6
	}
	for _, rule := range []struct {
		chain string
		spec  []string
	}{
		{chain, []string{"-d", n.String(), "-j", "ACCEPT"}},
		{chain, []string{"!", "-d", multicast.String(), "-j", "MASQUERADE"}},
		{postrouting, []string{"-s", n.IP.String(), "-j", chain}},
	} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := program.AppendUnique(natTable, rule.chain, append(rule.spec, comment...)...); err != nil {
			return err
		}
	}
	return nil
}

// delIPTables deletes the chain of an attachment, if there is one. legacy is whether iptables-legacy may have it.
func (r *Rules) delIPTables(ctx context.Context, network, id string, legacy bool) error {
	chain := chainName(network, id)
	var errs []error
	for _, ipv6 := range []bool{false, true} {
		programs, err := r.programs.WithChain(ctx, ipv6, natTable, legacy, chain)
		errs = append(errs, err)
		for _, program := range programs {
			errs = append(errs, iptables.DeleteChain(ctx, program, natTable, chain, postrouting))
		}
	}
	return errors.Join(errs...)
}
