// SPDX-License-Identifier: Apache-2.0

package testnode

import (
	"strings"
	"testing"
)

// Rules are the packet filter's: nftables' all, and those in iptables' tables of addresses. Counters and remarks are left out.
func Rules(t testing.TB) string {
	t.Helper()
	// iptables' programs leave empty tables behind by looking at them.
	all := strings.NewReplacer("table ip nat {\n}\n", "", "table ip6 nat {\n}\n", "").Replace(Run(t, "nft", "list", "ruleset"))
	for _, program := range []string{"iptables-nft-save", "ip6tables-nft-save"} {
		for line := range strings.Lines(Run(t, program, "-t", "nat")) {
			if !strings.HasPrefix(line, "#") {
				all += line
			}
		}
	}
	return all
}

// ClearRules empties the packet filter of OwnNetwork, now and at the test's end.
func ClearRules(t testing.TB) {
	t.Helper()
	NeedRoot(t)
	if !InOwnNetwork() {
		t.Fatal("this is the machine's own packet filter")
	}
	flush := func() { Run(t, "nft", "flush", "ruleset") }
	flush()
	t.Cleanup(flush)
}
