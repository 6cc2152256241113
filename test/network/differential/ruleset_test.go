// SPDX-License-Identifier: Apache-2.0

package differential

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// describeRuleset writes tables, chains and sets in the order of their names, and the rules of each chain in theirs.
func describeRuleset(objects []map[string]any) string {
	var heads []string
	rules := map[string][]string{}
	for _, object := range objects {
		for kind, value := range object {
			fields, ok := value.(map[string]any)
			if !ok || kind == "metainfo" {
				continue
			}
			delete(fields, "handle")
			if kind == "rule" {
				chain := fmt.Sprint(fields["family"], " ", fields["table"], " ", fields["chain"])
				rules[chain] = append(rules[chain], strings.TrimSpace(line("rule", uncounted(fields))))
				continue
			}
			sortElements(fields)
			heads = append(heads, strings.TrimSpace(line(kind, fields)))
		}
	}
	for chain, all := range rules {
		heads = append(heads, "rules of "+chain+":\n  "+strings.Join(all, "\n  "))
	}
	slices.Sort(heads)
	return strings.Join(heads, "\n") + "\n"
}

// uncounted has no numbers of packets.
func uncounted(rule map[string]any) map[string]any {
	expressions, _ := rule["expr"].([]any)
	for _, e := range expressions {
		if fields, ok := e.(map[string]any); ok && fields["counter"] != nil {
			fields["counter"] = "some"
		}
	}
	return rule
}

// sortElements brings the elements of a set or map into one order: they have none.
func sortElements(fields map[string]any) {
	elements, ok := fields["elem"].([]any)
	if !ok {
		return
	}
	slices.SortFunc(elements, func(a, b any) int {
		x, _ := json.Marshal(a)
		y, _ := json.Marshal(b)
		return strings.Compare(string(x), string(y))
	})
}

var counters = regexp.MustCompile(`\[\d+:\d+\]$`)

// describeSaved writes what iptables-save prints without comments and numbers of packets, chains in the order of their names.
func describeSaved(program, text string) string {
	var chains, rules []string
	table := ""
	for l := range strings.Lines(text) {
		l = strings.TrimSpace(l)
		switch {
		case l == "" || l[0] == '#' || l == "COMMIT":
		case l[0] == '*':
			table = l
		case l[0] == ':':
			chains = append(chains, fmt.Sprintf("%s %s %s", program, table, counters.ReplaceAllString(l, "")))
		default:
			rules = append(rules, fmt.Sprintf("%s %s %s", program, table, l))
		}
	}
	slices.Sort(chains)
	chain := func(rule string) string { return strings.Join(strings.Fields(rule)[:4], " ") }
	slices.SortStableFunc(rules, func(a, b string) int { return strings.Compare(chain(a), chain(b)) })
	return strings.Join(append(chains, rules...), "\n") + "\n"
}
