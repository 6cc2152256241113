// SPDX-License-Identifier: Apache-2.0

package portmap

import (
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/sardine-run/sardine/internal/iptables"
)

// Chains of iptables' table nat. Rules of pods lie in a chain of their own, to which chainDNAT leads.
const (
	natTable      = "nat"
	chainDNAT     = "CNI-HOSTPORT-DNAT"
	chainSetMark  = "CNI-HOSTPORT-SETMARK"
	chainMarkMasq = "CNI-HOSTPORT-MASQ"
	chainOldSNAT  = "CNI-HOSTPORT-SNAT" // of old versions of the reference plugin
)

// portsAtOnce is how many the match multiport takes.
const portsAtOnce = 15

// jump is a rule that leads to a chain.
type jump struct {
	from  string
	first bool // before all other rules
	match []string
}

// natChain is a chain with its rules and what leads to it.
type natChain struct {
	name  string
	rules [][]string
	jumps []jump
}

// podChain is the name of a pod's chain: kind is "DN-", and "SN-" in old versions.
func podChain(kind string, c *config) string {
	return fmt.Sprintf("CNI-%s%x", kind, sha512.Sum512([]byte(c.Name+c.id)))[:28]
}

// sharedChains are those that all pods use, in the order in which they refer to each other.
func sharedChains(c *config) []natChain {
	var chains []natChain
	if c.snat() && c.ExternalSetMarkChain == nil {
		mark := fmt.Sprintf("%#x/%#x", 1<<c.markBit(), 1<<c.markBit())
		chains = append(chains, natChain{name: chainSetMark, rules: [][]string{
			{"-m", "comment", "--comment", "CNI portfwd masquerade mark", "-j", "MARK", "--set-xmark", mark},
		}}, natChain{name: chainMarkMasq, rules: [][]string{{"-m", "mark", "--mark", mark, "-j", "MASQUERADE"}},
			// First, since the rules of the plugins bridge and ptp end the chain for their pods.
			jumps: []jump{{from: "POSTROUTING", first: true, match: []string{"-m", "comment", "--comment", "CNI portfwd requiring masquerade"}}},
		})
	}
	local := []string{"-m", "addrtype", "--dst-type", "LOCAL"}
	return append(chains, natChain{name: chainDNAT, jumps: []jump{{from: "PREROUTING", match: local}, {from: "OUTPUT", match: local}}})
}

// dnatChain is the chain of a pod, for one of its addresses.
func dnatChain(c *config, rules []portRule, to *net.IPNet) natChain {
	chain := natChain{name: podChain("DN-", c)}
	conditions := c.ConditionsV4
	if isIPv6(to.IP) {
		conditions = c.ConditionsV6
	}
	for _, match := range multiports(c.RuntimeConfig.Mappings) {
		comment := []string{"-m", "comment", "--comment", cut(fmt.Sprintf(`dnat name: "%s" id: "%s"`, c.Name, c.id))}
		chain.jumps = append(chain.jumps, jump{from: chainDNAT, match: slices.Concat(comment, match, conditions)})
	}
	for _, r := range rules {
		if r.to == to {
			chain.rules = append(chain.rules, r.iptables(c)...)
		}
	}
	return chain
}

// cut keeps a comment below the limit of iptables.
func cut(comment string) string {
	if len(comment) <= 255 {
		return comment
	}
	return comment[:253] + "..."
}

// multiports match the mapped ports, by protocol.
func multiports(mappings []mapping) [][]string {
	ports := map[string][]string{}
	var names []string
	for _, m := range mappings {
		name := strings.ToLower(m.Protocol)
		if ports[name] == nil {
			names = append(names, name)
		}
		ports[name] = append(ports[name], strconv.Itoa(m.HostPort))
	}
	slices.Sort(names)
	var matches [][]string
	for _, name := range names {
		for some := range slices.Chunk(ports[name], portsAtOnce) {
			matches = append(matches, []string{"-m", "multiport", "-p", name, "--destination-ports", strings.Join(some, ",")})
		}
	}
	return matches
}

// iptables is a mapping's rules: packets that are to be masqueraded are marked first.
func (r portRule) iptables(c *config) [][]string {
	match := []string{"-p", r.Protocol, "--dport", strconv.Itoa(r.HostPort)}
	if r.hostIP != nil {
		match = append(match, "-d", r.HostIP)
	}
	var rules [][]string
	if c.snat() {
		for _, source := range marked(c, r.to) {
			rules = append(rules, slices.Concat(match, []string{"-s", source, "-j", markChain(c)}))
		}
	}
	target := net.JoinHostPort(r.to.IP.String(), strconv.Itoa(r.ContainerPort))
	return append(rules, slices.Concat(match, []string{"-j", "DNAT", "--to-destination", target}))
}

func markChain(c *config) string {
	if c.ExternalSetMarkChain != nil {
		return *c.ExternalSetMarkChain
	}
	return chainSetMark
}

// marked are the sources whose packets are masqueraded: the pod's network, for a pod that asks itself, and the node's localhost.
func marked(c *config, to *net.IPNet) []string {
	switch {
	case c.MasqAll && isIPv6(to.IP):
		return []string{"::/0"}
	case c.MasqAll:
		return []string{"0.0.0.0/0"}
	case isIPv6(to.IP):
		return []string{to.String()}
	}
	return []string{to.String(), localhost.String()}
}

// addIPTables adds rules by the programs iptables and ip6tables.
func (p *Plugin) addIPTables(ctx context.Context, c *config, rules []portRule) error {
	if err := checkArguments(c); err != nil {
		return err
	}
	for _, to := range c.addresses() {
		program, err := p.programs.Default(ctx, isIPv6(to.IP))
		if err != nil {
			return fmt.Errorf("failed to open iptables: %w", err)
		}
		for _, chain := range append(sharedChains(c), dnatChain(c, rules, to)) {
			if err := chain.add(ctx, program); err != nil {
				return fmt.Errorf("unable to create chain %s: %w", chain.name, err)
			}
		}
	}
	return nil
}

// checkArguments refuses what iptables would take for something else than it stands for.
func checkArguments(c *config) error {
	if c.ExternalSetMarkChain != nil {
		if name := *c.ExternalSetMarkChain; name == "" || name[0] == '-' || name[0] == '!' || strings.ContainsAny(name, " \t\n\x00") {
			return fmt.Errorf("externalSetMarkChain %q is no name of a chain", name)
		}
	}
	for _, word := range slices.Concat(c.ConditionsV4, c.ConditionsV6) {
		if strings.ContainsAny(word, "\n\x00") {
			return fmt.Errorf("condition %q", word)
		}
	}
	return nil
}

func (n natChain) add(ctx context.Context, program *iptables.Program) error {
	exists, err := program.ChainExists(natTable, n.name)
	if err != nil {
		return err
	}
	if !exists {
		if err := program.NewChain(natTable, n.name); err != nil && iptables.Status(err) != 1 {
			return err // 1: somebody else was quicker
		}
	}
	for _, rule := range n.rules {
		if err := addUnique(ctx, program, n.name, false, rule); err != nil {
			return err
		}
	}
	for _, j := range n.jumps {
		if err := addUnique(ctx, program, j.from, j.first, append(slices.Clone(j.match), "-j", n.name)); err != nil {
			return err
		}
	}
	return nil
}

func addUnique(ctx context.Context, program *iptables.Program, chain string, first bool, rule []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if first {
		return program.InsertUnique(natTable, chain, 1, rule...)
	}
	return program.AppendUnique(natTable, chain, rule...)
}

// delIPTables deletes a pod's chains. legacy is whether iptables-legacy may have them.
func (p *Plugin) delIPTables(ctx context.Context, c *config, legacy bool) error {
	dnat, snat := podChain("DN-", c), podChain("SN-", c)
	var errs []error
	for _, ipv6 := range []bool{false, true} {
		programs, err := p.programs.WithChain(ctx, ipv6, natTable, legacy, dnat, snat)
		errs = append(errs, err)
		for _, program := range programs {
			errs = append(errs, iptables.DeleteChain(ctx, program, natTable, dnat, chainDNAT),
				iptables.DeleteChain(ctx, program, natTable, snat, chainOldSNAT))
		}
	}
	return errors.Join(errs...)
}

func (p *Plugin) hasIPTables(ctx context.Context, c *config) (bool, error) {
	for _, ipv6 := range []bool{false, true} {
		programs, err := p.programs.WithChain(ctx, ipv6, natTable, true, podChain("DN-", c))
		if err != nil || len(programs) > 0 {
			return len(programs) > 0, err
		}
	}
	return false, nil
}

func (p *Plugin) checkIPTables(ctx context.Context, c *config) error {
	rules, err := portRules(c)
	if err != nil {
		return err
	}
	for _, to := range c.addresses() {
		program, err := p.programs.Default(ctx, isIPv6(to.IP))
		if err != nil {
			return fmt.Errorf("failed to open iptables: %w", err)
		}
		if err := dnatChain(c, rules, to).check(ctx, program); err != nil {
			return fmt.Errorf("could not check dnat: %w", err)
		}
	}
	return nil
}

func (n natChain) check(ctx context.Context, program *iptables.Program) error {
	exists, err := program.ChainExists(natTable, n.name)
	if err == nil && !exists {
		err = fmt.Errorf("chain %s not found in iptables table %s", n.name, natTable)
	}
	if err != nil {
		return err
	}
	missing := func(chain string, rule []string) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if exists, err := program.Exists(natTable, chain, rule...); err != nil || !exists {
			return errors.Join(err, fmt.Errorf("rule %s in chain %s not found in table %s", rule, chain, natTable))
		}
		return nil
	}
	for _, rule := range n.rules {
		if err := missing(n.name, rule); err != nil {
			return err
		}
	}
	for _, j := range n.jumps {
		if err := missing(j.from, append(slices.Clone(j.match), "-j", n.name)); err != nil {
			return err
		}
	}
	return nil
}
