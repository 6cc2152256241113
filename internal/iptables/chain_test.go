// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"slices"
	"strings"
	"testing"

	"github.com/sardine-run/sardine/internal/nft"
	"github.com/sardine-run/sardine/internal/testnode"
)

func TestMain(m *testing.M) { testnode.OwnNetwork(m) }

func TestSplit(t *testing.T) {
	for rule, want := range map[string][]string{
		"":                              nil,
		"-A X  -j Y ":                   {"-A", "X", "-j", "Y"},
		`--comment "name: \"n\" id: 1"`: {"--comment", `name: "n" id: 1`},
		`-m "a\\b" ""`:                  {"-m", `a\b`, ""},
	} {
		if got, err := split(rule); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", rule, got, err)
		}
	}
	for _, bad := range []string{`"`, `-m "x`, `"x\`} {
		if _, err := split(bad); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(`-A CNI-X -m comment --comment "a \"b\"" -j Y`)
	f.Fuzz(func(t *testing.T, rule string) {
		words, err := split(rule)
		if err == nil && len(strings.Join(words, "")) > len(rule) {
			t.Errorf("%q has become more: %q", rule, words)
		}
	})
}

func open(t *testing.T) *Programs {
	t.Helper()
	testnode.NeedRoot(t)
	tables, err := nft.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tables.Close() })
	return New(tables)
}

// Chains are found in whichever of the two they are, and their references with them.
func TestChains(t *testing.T) {
	for _, test := range []struct {
		program string
		ipv6    bool
	}{{"iptables-nft", false}, {"ip6tables-nft", true}, {"iptables-legacy", false}, {"ip6tables-legacy", true}} {
		t.Run(test.program, func(t *testing.T) {
			testnode.NeedIPTables(t, test.program)
			p := open(t)
			for _, rule := range []string{"-N OURS", "-A OURS -j ACCEPT", "-N OTHER", "-A POSTROUTING -m comment --comment WORDS -j OURS", "-A POSTROUTING -j OTHER", "-A OTHER -s ::/0 -j OURS"} {
				args := strings.Fields(rule)
				for i := range args {
					args[i] = strings.Replace(args[i], "WORDS", `two "words" \ more`, 1)
					if !test.ipv6 {
						args[i] = strings.Replace(args[i], "::/0", "0.0.0.0/0", 1)
					}
				}
				testnode.Run(t, test.program, append([]string{"-t", "nat"}, args...)...)
			}
			found, err := p.WithChain(t.Context(), test.ipv6, "nat", true, "MISSING", "OURS")
			if err != nil || len(found) != 1 {
				t.Fatalf("%v, %v", found, err)
			}
			if found, err := p.WithChain(t.Context(), !test.ipv6, "nat", true, "OURS"); err != nil || len(found) != 0 {
				t.Errorf("in the other family %v, %v", found, err)
			}
			for range 2 {
				if err := DeleteChain(t.Context(), found[0], "nat", "OURS", "POSTROUTING", "OTHER", "MISSING"); err != nil {
					t.Fatal(err)
				}
			}
			if left := testnode.Run(t, test.program, "-t", "nat", "-S"); strings.Contains(left, "OURS") || !strings.Contains(left, "-A POSTROUTING -j OTHER") {
				t.Errorf("left\n%s", left)
			}
			if found, err := p.WithChain(t.Context(), test.ipv6, "nat", true, "OURS"); err != nil || len(found) != 0 {
				t.Errorf("after deletion %v, %v", found, err)
			}
		})
	}
}

// Nothing to do is found out without a program.
func TestNoProgramStarted(t *testing.T) {
	p := open(t)
	t.Setenv("PATH", t.TempDir())
	run := func(want int) {
		if found, err := p.WithChain(t.Context(), false, "nat", true, "NOTHING"); err != nil || len(found) != want {
			t.Errorf("%v, %v", found, err)
		}
	}
	run(0)
	if _, err := p.Default(t.Context(), false); err == nil {
		t.Error("a program where there is none")
	}
}
