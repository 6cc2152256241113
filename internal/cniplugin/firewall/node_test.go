// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
	"github.com/sardine-run/sardine/internal/testnode"
)

// fakePath makes a PATH with only these programs: scripts, or links to the real ones for "".
func fakePath(t *testing.T, programs map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, script := range programs {
		file := filepath.Join(dir, name)
		real, err := exec.LookPath(name)
		if script == "" {
			if err == nil {
				err = os.Symlink(real, file)
			}
		} else {
			err = os.WriteFile(file, []byte("#!/bin/sh\n"+script), 0o700)
		}
		if err != nil {
			testnode.Unavailable(t, "install iptables: "+err.Error())
		}
	}
	t.Setenv("PATH", dir)
}

func TestWithoutIPTables(t *testing.T) {
	pair := plugintest.NewPair(t)
	in := call(iptables, bridged, both)
	fakePath(t, nil)
	for _, verb := range []string{"ADD", "CHECK", "DEL"} {
		_, want := plugintest.Reference(t, pair, verb, in)
		_, err := plugintest.Inside(t.Context(), newPlugin(t, pair), pair, verb, in)
		if want == nil || err == nil || err.Error() != want.Error() {
			t.Errorf("%s: %v, the reference says %v", verb, err, want)
		}
	}
}

func TestLegacyIPTablesIsForTheProgram(t *testing.T) {
	pair := plugintest.NewPair(t)
	for name, programs := range map[string]map[string]string{
		"legacy": {"iptables": "", "ip6tables": "", "iptables-restore": "echo 'iptables-restore v1.8.9 (legacy)'", "ip6tables-restore": ""},
		"none":   {"iptables": "", "ip6tables": ""},
	} {
		t.Run(name, func(t *testing.T) {
			fakePath(t, programs)
			p := newPlugin(t, pair)
			c := &cniplugin.Call{Config: []byte(call(iptables, bridged, both).Config)}
			_, add := p.Add(t.Context(), c)
			for _, err := range []error{add, p.Check(t.Context(), c), p.Del(t.Context(), c)} {
				if !errors.Is(err, cniplugin.ErrDeclined) {
					t.Error(err)
				}
			}
		})
	}
}

// TestFailedAddLeavesNoRules has the second family fail, when the first one's rules are there.
func TestFailedAddLeavesNoRules(t *testing.T) {
	pair := plugintest.NewPair(t)
	p, in := newPlugin(t, pair), call(iptables, bridged, both)
	before := saved(t, pair)
	real, err := exec.LookPath("ip6tables-restore")
	if err != nil {
		testnode.Unavailable(t, "install iptables: "+err.Error())
	}
	t.Run("error", func(t *testing.T) {
		fakePath(t, map[string]string{
			"iptables": "", "ip6tables": "", "iptables-restore": "",
			"ip6tables-restore": `[ "$1" = --version ] && exec ` + real + ` --version; echo no such thing >&2; exit 3`,
		})
		_, err := plugintest.Inside(t.Context(), p, pair, "ADD", in)
		if err == nil || !strings.Contains(err.Error(), "no such thing") {
			t.Error(err)
		}
	})
	t.Run("does nothing", func(t *testing.T) {
		fakePath(t, map[string]string{
			"iptables": "", "ip6tables": "", "iptables-restore": "",
			"ip6tables-restore": `[ "$1" = --version ] && exec ` + real + ` --version; exit 0`,
		})
		if _, err := plugintest.Inside(t.Context(), p, pair, "ADD", in); err == nil || !strings.Contains(err.Error(), "not found again") {
			t.Error(err)
		}
	})
	t.Run("hangs", func(t *testing.T) {
		fakePath(t, map[string]string{
			"iptables": "", "ip6tables": "", "iptables-restore": "", "sleep": "",
			"ip6tables-restore": `[ "$1" = --version ] && exec ` + real + ` --version; exec sleep 100`,
		})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := plugintest.Inside(ctx, p, pair, "ADD", in); err == nil {
			t.Error("no error")
		}
	})
	if left := saved(t, pair); left == before || strings.Contains(left, "10.0.0.2") {
		t.Error("left: ", left)
	}
	if _, err := plugintest.Inside(t.Context(), p, pair, "ADD", in); err != nil {
		t.Error(err)
	}
	if _, err := plugintest.Inside(t.Context(), p, pair, "CHECK", in); err != nil {
		t.Error(err)
	}
}

// TestHostileNames has names that would be more than a name in a rule.
func TestHostileNames(t *testing.T) {
	pair := plugintest.NewPair(t)
	p := newPlugin(t, pair)
	for _, name := range []string{"br 0", "br0\n-F", "-j", "!", "br+", `br\"0`, "br0\t", "br0123456789abcdef", "br\u00e9", "COMMIT\n*nat"} {
		quoted := fmt.Sprintf("%q", name)
		in := call(iptables+`"ingressPolicy":"isolated",`, `[{"name":`+quoted+`}]`, both)
		if _, err := plugintest.Inside(t.Context(), p, pair, "ADD", in); err == nil {
			t.Errorf("a bridge called %s is accepted", quoted)
		}
		in = call(iptables+`"iptablesAdminChainName":`+quoted+`,`, bridged, both)
		if _, err := plugintest.Inside(t.Context(), p, pair, "ADD", in); err == nil && name != "br+" && name != "br0123456789abcdef" {
			t.Errorf("a chain called %s is accepted", quoted)
		}
	}
	in := call(iptables+`"ingressPolicy":"isolated",`, `[null]`, both)
	if _, err := plugintest.Inside(t.Context(), p, pair, "ADD", in); err == nil {
		t.Error("null is accepted")
	}
}

// TestAtTheSameTime has many pods come and go at once, beside a program that does the same.
func TestAtTheSameTime(t *testing.T) {
	pair := plugintest.NewPair(t)
	p, other := newPlugin(t, pair), newPlugin(t, pair)
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			who := p
			if i%3 == 0 {
				who = other
			}
			in := call(iptables+`"ingressPolicy":"isolated",`, bridged, fmt.Sprintf(`[{"address":"10.0.0.%d/24"}]`, i+1))
			for _, verb := range []string{"ADD", "DEL", "ADD"} {
				if _, err := plugintest.Inside(t.Context(), who, pair, verb, in); err != nil {
					t.Errorf("%s: %v", verb, err)
				}
			}
		}()
	}
	wg.Wait()
	text := saved(t, pair)
	for i := range 12 {
		if n := strings.Count(text, fmt.Sprintf("10.0.0.%d/32", i+1)); n != 2 {
			t.Errorf("pod %d has %d rules\n%s", i, n, text)
		}
	}
	if n := strings.Count(text, "-A FORWARD"); n > 4 { // two of each plugin, if both looked before either wrote
		t.Errorf("%d rules in FORWARD\n%s", n, text)
	}
}

// TestOtherForms has rules as nft(8) writes them, which some iptables may one day.
func TestOtherForms(t *testing.T) {
	pair := plugintest.NewPair(t)
	p, in := newPlugin(t, pair), call(iptables, bridged, `[{"address":"10.0.0.2/24"}]`)
	plugintest.Run(t, pair.Host, "nft", `table ip filter { chain CNI-ADMIN { }
		chain CNI-FORWARD { counter jump CNI-ADMIN comment "CNI firewall plugin admin overrides"
			ip daddr 10.0.0.2 ct state established,related counter accept
			ip saddr 10.0.0.2 counter accept
			ip saddr 10.0.0.2 tcp dport 80 accept; }
		chain FORWARD { type filter hook forward priority 0; counter jump CNI-FORWARD comment "CNI firewall plugin rules"; }
		}`)
	if _, err := plugintest.Inside(t.Context(), p, pair, "CHECK", in); err != nil {
		t.Error(err)
	}
	if _, err := plugintest.Inside(t.Context(), p, pair, "DEL", in); err != nil {
		t.Error(err)
	}
	text := plugintest.Run(t, pair.Host, "nft", "list", "ruleset")
	if strings.Count(text, "10.0.0.2") != 1 || !strings.Contains(text, "dport 80") {
		t.Error("left: ", text)
	}
}
