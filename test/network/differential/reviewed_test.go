// SPDX-License-Identifier: Apache-2.0

package differential

import (
	"regexp"
	"slices"
	"strings"
)

// reviewed is a difference that is meant.
type reviewed struct {
	why string
	// Regular expressions of where it is, "" for everywhere.
	row, step, kind string
	failed          bool // only in rows in which an ADD fails
	sometimes       bool // the kernel may be quick enough that there is none
	// same tells whether nothing else differs, from the texts of the reference and of ours.
	same func(want, got string) bool
}

// differences are all that are meant.
var differences = []reviewed{
	{
		why:  "an error has the reference's code, or one of the specification where the reference has none (999); its words are ours",
		kind: "outcome", same: sameCodes,
	},
	{
		why: "the reference's CHECK of a bridge without addresses asks a plugin without a name, and always fails",
		row: "bridge.*", step: "CHECK", kind: "outcome", same: func(want, _ string) bool { return strings.Contains(want, "no plugin name provided") },
	},
	{
		why: "the reference's CHECK does not look for limits on the host's side of a pod",
		row: "spoilt: limits", step: "CHECK of what is spoilt", kind: "outcome", same: noticesMore,
	},
	{
		why: "what tuning noted about an interface goes with it when its namespace has ended, and when ADD fails",
		row: ".*(tun|every).*", kind: "files", same: without(`/run/(cni|tuned)(/.*)? .*`),
	},
	{
		why:  "the reference looks for iptables' rules with iptables, which makes the table nat; ours look without making it",
		kind: "filter", same: without(emptyTables),
	},
	{
		why:  "rules of a pod go although its namespace has ended; the reference leaves them",
		step: "DEL beta.*", kind: "filter", same: leavesLess,
	},
	{
		why:  "nothing is left of an ADD that failed; the reference leaves interfaces and rules to DEL",
		kind: "links|addresses|routes|sysctls|filter|files|neighbors|vlans|tc", failed: true, same: leavesLess,
	},
	{
		why:  "DEL does what it can with a configuration that ADD refuses",
		step: "DEL.*", kind: "outcome", failed: true, same: func(want, got string) bool { return code.MatchString(want) && got == "null\n" },
	},
	{
		why: "the address is asked for while the interface is made, and given back when that fails: the next pod gets the next one",
		row: "bridge, bad: interface exists", same: func(want, got string) bool {
			return without(`\S+ (d\S+ ""|\S+ "")|\S+/last_reserved_ip.*`)(want, strings.ReplaceAll(got, "10.1.0.3", "10.1.0.2"))
		},
	},
	{
		why: "nobody waits for the carrier of a bridge's port that the pod does not use",
		row: "bridge disableContainerInterface", kind: "links", sometimes: true, same: func(want, got string) bool {
			return state.ReplaceAllString(want, "") == state.ReplaceAllString(got, "")
		},
	},
}

// unusedIPv6 finds where IPv6 is on or off: the bridge's ports have no address of their own, and pods on a bridge have none where the
// network has none. What the kernel says about addresses that it makes up would go to every port. That pods have the addresses which the
// network gives them is compared elsewhere.
var unusedIPv6 = regexp.MustCompile(`(?m)^(host net/ipv6/conf/veth\S+/disable_ipv6|(alpha|beta) net/ipv6/conf/eth0/disable_ipv6) = .*\n`)

// withoutIPv6 leaves that out on both sides.
func withoutIPv6(want, got string) (string, string) {
	return unusedIPv6.ReplaceAllString(want, ""), unusedIPv6.ReplaceAllString(got, "")
}

var state = regexp.MustCompile(`"state":"\w+"`)

// emptyTables are tables of iptables-nft without a rule.
const emptyTables = `table {"family":"ip6?","name":"nat"}|ip6?tables-nft-save \*nat :(INPUT|OUTPUT|PREROUTING|POSTROUTING) ACCEPT ?|`

// without compares texts without lines that match.
func without(pattern string) func(want, got string) bool {
	lines := regexp.MustCompile(`(?m)^(?:` + pattern + `)$\n`)
	return func(want, got string) bool {
		return lines.ReplaceAllString(want, "") == lines.ReplaceAllString(got, "")
	}
}

var code = regexp.MustCompile(`code (\d+), message .*`)

// sameCodes compares lines that are errors by their codes only.
func sameCodes(want, got string) bool {
	wanted, found := strings.Split(want, "\n"), strings.Split(got, "\n")
	return slices.EqualFunc(wanted, found, func(a, b string) bool {
		x, y := code.FindStringSubmatch(a), code.FindStringSubmatch(b)
		if x == nil || y == nil {
			return a == b
		}
		return x[1] == y[1] || x[1] == "999"
	})
}

// noticesMore compares checks: what one refuses the other may accept.
func noticesMore(want, got string) bool {
	return !code.MatchString(want) && code.MatchString(got)
}

// passes finds lines that only say that something was not done: a bridge, which stays, has seen fewer ports, and nothing is forwarded.
var passes = regexp.MustCompile(`^$|^host (br0|cni0) {"address"|forward(ing)? = 0$`)

// leavesLess tells whether every line of got is in want.
func leavesLess(want, got string) bool {
	left := map[string]int{}
	for l := range strings.Lines(want) {
		left[strings.TrimSpace(l)]++
	}
	for l := range strings.Lines(got) {
		l = strings.TrimSpace(l)
		if left[l]--; left[l] < 0 && !passes.MatchString(l) {
			return false
		}
	}
	return true
}

// reviewed tells whether a difference is meant.
func (c *comparison) reviewed(r *row, failed bool, step, kind, want, got string) bool {
	for i, d := range differences {
		if d.failed && !failed || !matches(d.row, r.Name) || !matches(d.step, step) || !matches(d.kind, kind) || !d.same(want, got) {
			continue
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.used == nil {
			c.used = map[int]bool{}
		}
		c.used[i] = true
		return true
	}
	return false
}

func matches(pattern, text string) bool {
	return pattern == "" || regexp.MustCompile("^(?:"+pattern+")$").MatchString(text)
}
