// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/sardine-run/sardine/internal/testnode"
)

// example has everything that tables here have.
func example(name string) Table {
	return Table{ID: ID{Inet, name}, Comment: "an example", Chains: []Chain{
		{Name: "open", Comment: "rules come and go"},
		{Name: "hooked", Hook: &Postrouting, Fixed: []Rule{
			{Expressions: Join(Protocol(net.IPv4zero), DestinationIn(network("224.0.0.0/4"), false), Return())},
			{Expressions: Goto("open")},
		}},
	}}
}

func network(s string) *net.IPNet {
	_, n, err := net.ParseCIDR(s)
	if err != nil {
		panic(err)
	}
	return n
}

func rule(i int, comment string) Rule {
	ip := net.IPv4(10, byte(i>>16), byte(i>>8), byte(i))
	return Rule{Expressions: Join(Protocol(ip), Source(ip), DestinationIn(network("10.0.0.0/8"), true), Masquerade()), Comment: comment}
}

func open4(t testing.TB) *Tables {
	t.Helper()
	testnode.NeedRoot(t)
	tables, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tables.Close() })
	return tables
}

func do(t testing.TB, tables *Tables, f func(tx *Tx)) {
	t.Helper()
	if err := tables.Do(t.Context(), func(tx *Tx) error { f(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}

func handles(t testing.TB, tables *Tables, id ID, comment string) (found []Found) {
	t.Helper()
	do(t, tables, func(tx *Tx) { found = tx.Find(id, "open", comment) })
	return found
}

func add(t testing.TB, tables *Tables, table Table, r ...Rule) {
	t.Helper()
	do(t, tables, func(tx *Tx) {
		tx.Ensure(table)
		for _, r := range r {
			tx.Append(table.ID, "open", r)
		}
	})
}

func remove(t testing.TB, tables *Tables, id ID, comment string) (n int) {
	t.Helper()
	do(t, tables, func(tx *Tx) {
		found := tx.Find(id, "open", comment)
		tx.Delete(id, "open", found...)
		n = len(found)
	})
	return n
}

// withTable deletes the table at the end of the test.
func withTable(t testing.TB, name string) Table {
	t.Cleanup(func() { exec.Command("nft", "delete", "table", "inet", name).Run() })
	return example(name)
}

const listing = `table inet listing {
	comment "an example"
	chain open {
		comment "rules come and go"
		ip saddr 10.0.0.1 ip daddr != 10.0.0.0/8 masquerade comment "one"
		ip saddr 10.0.0.2 ip daddr != 10.0.0.0/8 masquerade comment "two"
	}

	chain hooked {
		type nat hook postrouting priority srcnat; policy accept;
		ip daddr 224.0.0.0/4 return
		goto open
	}
}
`

func TestListing(t *testing.T) {
	tables, table := open4(t), withTable(t, "listing")
	for range 3 { // what is there already is not added again
		add(t, tables, table)
	}
	before := testnode.Run(t, "nft", "-a", "list", "chain", "inet", "listing", "hooked")
	add(t, tables, table, rule(1, "one"), rule(2, "two"))
	if got := testnode.Run(t, "nft", "list", "table", "inet", "listing"); got != listing {
		t.Errorf("got\n%s\nwant\n%s", got, listing)
	}
	if after := testnode.Run(t, "nft", "-a", "list", "chain", "inet", "listing", "hooked"); after != before {
		t.Errorf("rules that were right were made anew:\n%s\n%s", before, after)
	}
}

func TestFoundAgain(t *testing.T) {
	tables, table := open4(t), withTable(t, "again")
	add(t, tables, table, rule(1, "one"), rule(2, "two"), rule(3, "two"))
	if n := remove(t, tables, table.ID, "two"); n != 2 {
		t.Errorf("%d rules deleted, want 2", n)
	}
	if n := remove(t, tables, table.ID, "two"); n != 0 {
		t.Errorf("%d rules deleted the second time", n)
	}
	restarted := open4(t)
	testnode.Run(t, "nft", "add", "rule", "inet", "again", "open", "drop", "comment", `"theirs"`)
	for comment, want := range map[string]int{"one": 1, "two": 0, "theirs": 1, "thei": 0} {
		if n := len(handles(t, restarted, table.ID, comment)); n != want {
			t.Errorf("after a restart %d rules %q, want %d", n, comment, want)
		}
		if n := remove(t, tables, table.ID, comment); n != want {
			t.Errorf("%d rules %q deleted, want %d", n, comment, want)
		}
		if n := len(handles(t, restarted, table.ID, comment)); n != 0 {
			t.Errorf("%d rules %q after another has deleted them", n, comment)
		}
	}
}

// A table made anew gives the handles of the old one to other rules.
func TestTableMadeAnew(t *testing.T) {
	tables, table := open4(t), withTable(t, "anew")
	add(t, tables, table, rule(1, "ours"))
	before := handles(t, tables, table.ID, "ours")
	testnode.Run(t, "nft", "delete", "table", "inet", "anew")
	other := open4(t)
	add(t, other, table, rule(1, "theirs"))
	if got := handles(t, other, table.ID, "theirs"); len(got) != 1 || got[0].Handle != before[0].Handle {
		t.Fatalf("handles %v and %v: this test shows nothing", got, before)
	}
	if n := remove(t, tables, table.ID, "ours"); n != 0 {
		t.Errorf("deleted %d", n)
	}
	if got := handles(t, open4(t), table.ID, "theirs"); len(got) != 1 {
		t.Errorf("the other's rule is gone")
	}
}

func TestRepair(t *testing.T) {
	tables, table := open4(t), withTable(t, "listing")
	for _, damage := range []string{
		"flush ruleset", "flush table inet listing", "delete table inet listing", "flush chain inet listing hooked",
		"insert rule inet listing hooked drop", "add rule inet listing hooked drop",
	} {
		t.Run(damage, func(t *testing.T) {
			add(t, tables, table)
			testnode.Run(t, "nft", damage)
			do(t, tables, func(tx *Tx) {
				tx.Ensure(table)
				tx.Delete(table.ID, "open", tx.FindPrefix(table.ID, "open", "")...)
				tx.Append(table.ID, "open", rule(1, "one"))
				tx.Append(table.ID, "open", rule(2, "two"))
			})
			if got := testnode.Run(t, "nft", "list", "table", "inet", "listing"); got != listing {
				t.Errorf("got\n%s\nwant\n%s", got, listing)
			}
		})
	}
}

func TestAllOrNothing(t *testing.T) {
	tables, table := open4(t), withTable(t, "atomic")
	add(t, tables, table)
	err := tables.Do(t.Context(), func(tx *Tx) error {
		tx.Append(table.ID, "open", rule(1, "one"))
		tx.Append(table.ID, "missing", rule(1, "one"))
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "add rule") {
		t.Errorf("error %v", err)
	}
	if n := len(handles(t, tables, table.ID, "one")); n != 0 {
		t.Errorf("%d rules of a transaction that failed", n)
	}
	for _, bad := range []string{strings.Repeat("x", 129), `quo"te`, "new\nline", "zero\x00"} {
		err := tables.Do(t.Context(), func(tx *Tx) error {
			tx.Append(table.ID, "open", rule(1, bad))
			return nil
		})
		if err == nil {
			t.Errorf("comment %q was taken", bad)
		}
	}
}

func TestHasChains(t *testing.T) {
	tables, table := open4(t), withTable(t, "chains")
	add(t, tables, table)
	for range 2 {
		got, err := tables.HasChains(t.Context(), table.ID, "missing", "open", "hooked", "also missing")
		if want := "[false true true false]"; err != nil || fmt.Sprint(got) != want {
			t.Errorf("%v, %v, want %s", got, err, want)
		}
	}
	if got, err := tables.HasChains(t.Context(), ID{IPv4, "no such table"}, "open"); err != nil || got[0] {
		t.Errorf("%v, %v", got, err)
	}
}

func TestClosed(t *testing.T) {
	tables := open4(t)
	if err := tables.Available(t.Context()); err != nil {
		t.Error(err)
	}
	if err := errors.Join(tables.Close(), tables.Close()); err != nil {
		t.Error(err)
	}
	if err := tables.Do(t.Context(), func(*Tx) error { return nil }); err == nil {
		t.Error("a transaction after Close")
	}
}

func TestNone(t *testing.T) {
	tables := None()
	if err := tables.Available(t.Context()); !errors.Is(err, ErrUnsupported) {
		t.Errorf("available: %v", err)
	}
	if err := tables.Do(t.Context(), func(*Tx) error { return nil }); !errors.Is(err, ErrUnsupported) {
		t.Errorf("transaction: %v", err)
	}
	if has, err := tables.HasChains(t.Context(), ID{IPv4, "nat"}, "x"); err != nil || has[0] {
		t.Errorf("chains: %v, %v", has, err)
	}
	if err := tables.Close(); err != nil {
		t.Error(err)
	}
}
