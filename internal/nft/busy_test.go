// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// More changes than the socket holds: the index is read again.
func TestMissedChanges(t *testing.T) {
	tables, table := open4(t), withTable(t, "missed")
	add(t, tables, table, rule(1, "one"))
	other := open4(t)
	for i := range 40 {
		add(t, other, table, rule(2, "two"), rule(3, "two"))
		rules := make([]Rule, 100)
		for j := range rules {
			rules[j] = rule(100*i+j, strings.Repeat("many", 30))
		}
		add(t, other, table, rules...)
	}
	remove(t, other, table.ID, "one")
	before := tables.index[table.ID]
	if n := len(handles(t, tables, table.ID, "two")); n != 80 {
		t.Errorf("%d rules, want 80", n)
	}
	if tables.index[table.ID] == before {
		t.Error("nothing was missed: this test shows nothing")
	}
	if n := remove(t, tables, table.ID, "one"); n != 0 {
		t.Errorf("%d rules that somebody else deleted", n)
	}
	if n := remove(t, tables, table.ID, strings.Repeat("many", 30)); n != 4000 {
		t.Errorf("%d rules deleted in one transaction, want 4000", n)
	}
}

// Two processes and a third that changes other tables all the time.
func TestConcurrent(t *testing.T) {
	first, second, table := open4(t), open4(t), withTable(t, "busy")
	stop := make(chan struct{})
	var others, wait sync.WaitGroup
	others.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				exec.Command("nft", fmt.Sprintf("add table inet other%d; delete table inet other%d", i, i)).Run()
			}
		}
	})
	for i := range 200 {
		tables := []*Tables{first, second}[i%2]
		wait.Go(func() {
			comment := fmt.Sprintf("pod %d", i)
			add(t, tables, table, rule(i, comment))
			if i%4 < 2 {
				if n := remove(t, tables, table.ID, comment); n != 1 {
					t.Errorf("deleted %d of %s", n, comment)
				}
			}
		})
	}
	wait.Wait()
	close(stop)
	others.Wait()
	for i := range 200 {
		if n, want := len(handles(t, first, table.ID, fmt.Sprintf("pod %d", i))), i%4/2; n != want {
			t.Errorf("%d rules of pod %d, want %d", n, i, want)
		}
	}
}
