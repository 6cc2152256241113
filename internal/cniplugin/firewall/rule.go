// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"net/netip"
	"strings"
)

// Chains of the table filter.
const (
	forward = "FORWARD"
	private = "CNI-FORWARD"
	stage1  = "CNI-ISOLATION-STAGE-1"
	stage2  = "CNI-ISOLATION-STAGE-2"
)

// rule is one rule as far as the plugin's have something, so that == compares what is wanted with what is there.
type rule struct {
	chain       string
	in, out     string // interfaces
	notOut      bool
	from, to    netip.Addr
	established bool // conntrack's RELATED or ESTABLISHED
	comment     string
	target      string // ACCEPT, DROP, RETURN or a chain
}

// position is where a rule that is not there goes.
type position bool

const (
	first position = true
	last  position = false
)

// placed is a rule that must be there once, and where it is put if it is not.
type placed struct {
	rule
	at position
}

// line is the rule for iptables-restore(8). Names in it were checked.
func (p placed) line() string {
	words := []string{"-A", p.chain}
	if p.at == first {
		words = []string{"-I", p.chain, "1"}
	}
	if p.to.IsValid() {
		words = append(words, "-d", prefix(p.to))
	}
	if p.from.IsValid() {
		words = append(words, "-s", prefix(p.from))
	}
	if p.in != "" {
		words = append(words, "-i", p.in)
	}
	if p.notOut {
		words = append(words, "!")
	}
	if p.out != "" {
		words = append(words, "-o", p.out)
	}
	if p.established {
		words = append(words, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED")
	}
	if p.comment != "" {
		words = append(words, "-m", "comment", "--comment", `"`+p.comment+`"`)
	}
	return strings.Join(append(words, "-j", p.target), " ")
}

// prefix is an address as firewalls write a single one.
func prefix(a netip.Addr) string { return netip.PrefixFrom(a.WithZone(""), a.BitLen()).String() }

// podRules let a pod answer and ask.
func podRules(a netip.Addr) []placed {
	return []placed{
		{rule{chain: private, to: a, established: true, target: "ACCEPT"}, last},
		{rule{chain: private, from: a, target: "ACCEPT"}, last},
	}
}

// plan is what has to be there. Its parts are made one after the other, of each the chains first.
type plan []part

type part struct {
	chains []string
	rules  []placed
}

func (p plan) chains() (all []string) {
	for _, part := range p {
		all = append(all, part.chains...)
	}
	return all
}

func (p plan) rules() (all []placed) {
	for _, part := range p {
		all = append(all, part.rules...)
	}
	return all
}

// base has the plugin's chains, and the rules of the addresses.
func base(adminChain string, addresses []netip.Addr) part {
	p := part{chains: []string{private, adminChain}, rules: []placed{
		{rule{chain: forward, comment: "CNI firewall plugin rules", target: private}, first},
		{rule{chain: private, comment: "CNI firewall plugin admin overrides", target: adminChain}, first},
	}}
	for _, a := range addresses {
		p.rules = append(p.rules, podRules(a)...)
	}
	return p
}

// ingress has the rules of an ingress policy. A rule put first comes before one that was put there earlier.
func ingress(policy, bridge string) part {
	if policy == open {
		return part{}
	}
	const both = "CNI firewall plugin rules (ingressPolicy: same-bridge|isolated)"
	own := "CNI firewall plugin rules (ingressPolicy: " + policy + ")"
	rules := []placed{
		{rule{chain: forward, comment: both, target: stage1}, first},
		{rule{chain: stage1, in: bridge, out: bridge, notOut: true, comment: own, target: stage2}, first},
	}
	if policy == isolated {
		rules = append(rules, placed{rule{chain: stage1, in: bridge, out: bridge, comment: own, target: "DROP"}, first})
	}
	return part{chains: []string{stage1, stage2}, rules: append(rules,
		placed{rule{chain: stage1, comment: both, target: "RETURN"}, last},
		placed{rule{chain: stage2, out: bridge, comment: both, target: "DROP"}, first},
		placed{rule{chain: stage2, comment: both, target: "RETURN"}, last})}
}

// without returns what of the plan is not there, as input for iptables-restore(8) with --noflush. "" when all is there.
func (p plan) without(chains map[string]bool, rules map[rule]bool) string {
	var lines []string
	for _, part := range p {
		for _, c := range part.chains {
			if !chains[c] { // a line ":CHAIN" would empty the chain that somebody has made meanwhile
				lines = append(lines, "-N "+c)
			}
		}
		for _, r := range part.rules {
			if !rules[r.rule] {
				lines = append(lines, r.line())
			}
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return "*filter\n" + strings.Join(lines, "\n") + "\nCOMMIT\n"
}
