// SPDX-License-Identifier: Apache-2.0

package portmap

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/nft"
	"github.com/sardine-run/sardine/internal/testnode"
)

// Both leave the same rules, of which either deletes the other's.
func TestSameAsReference(t *testing.T) {
	for name, config := range configurations() {
		t.Run(name, func(t *testing.T) {
			testnode.ClearRules(t)
			p := plugin(t)
			referenceAdd(t, "first", config)
			referenceAdd(t, "second", config)
			want := testnode.Rules(t)
			if err := p.Check(t.Context(), call("first", config)); err != nil {
				t.Errorf("CHECK of what the reference plugin did: %v", err)
			}
			del(t, p, "first", config)
			left := testnode.Rules(t)
			testnode.ClearRules(t)

			add(t, p, "first", config)
			add(t, p, "second", config)
			if got := testnode.Rules(t); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			for who, err := range map[string]error{"our": p.Check(t.Context(), call("second", config)), "the reference plugin's": reference(t, "CHECK", "second", config)} {
				if err != nil {
					t.Errorf("%s CHECK: %v", who, err)
				}
			}
			if err := reference(t, "DEL", "first", config); err != nil {
				t.Fatal(err)
			}
			if got := testnode.Rules(t); got != left {
				t.Errorf("after DEL by the reference plugin\n%s\nand by us\n%s", got, left)
			}
			del(t, p, "second", config)
			del(t, p, "second", config)
			if got := testnode.Rules(t); strings.Contains(got, "second") || strings.Contains(got, "dnat to") {
				t.Errorf("left behind\n%s", got)
			}
		})
	}
}

// The same, where iptables was of the older kind.
func TestSwitchOverLegacy(t *testing.T) {
	testnode.ClearRules(t)
	programs := t.TempDir()
	for _, name := range []string{"iptables", "ip6tables"} {
		if err := os.Symlink(testnode.NeedIPTables(t, name+"-legacy"), programs+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	legacy := func() string {
		return testnode.Run(t, "iptables-legacy-save", "-t", "nat") + testnode.Run(t, "ip6tables-legacy-save", "-t", "nat")
	}
	p, config, id := plugin(t), configure("", webPort, bothAddresses), "theirs"
	func() {
		path := os.Getenv("PATH")
		defer t.Setenv("PATH", path)
		t.Setenv("PATH", programs+":"+path)
		referenceAdd(t, id, configure(`"backend": "iptables"`, webPort, bothAddresses))
	}()
	if before := legacy(); strings.Count(before, "-j DNAT") != 2 {
		t.Fatalf("rules\n%s", before)
	}
	del(t, p, id, config)
	if left := legacy(); strings.Contains(left, "-j DNAT") || strings.Contains(left, "CNI-DN-") {
		t.Errorf("left behind\n%s", left)
	}
}

// A node switches over: what the reference plugin left with either backend goes with DEL of the default.
func TestSwitchOver(t *testing.T) {
	for _, backend := range []string{"iptables", "nftables"} {
		t.Run(backend, func(t *testing.T) {
			testnode.ClearRules(t)
			referenceAdd(t, "theirs", configure(fmt.Sprintf(`"backend": %q`, backend), webPort, bothAddresses))
			p, config := plugin(t), configure("", webPort, bothAddresses)
			if err := p.Check(t.Context(), call("theirs", config)); err != nil {
				t.Error(err)
			}
			add(t, p, "ours", config)
			del(t, p, "theirs", config)
			if got := testnode.Rules(t); strings.Contains(got, "theirs") || !strings.Contains(got, "ours") {
				t.Errorf("rules\n%s", got)
			}
			if err := p.Check(t.Context(), call("theirs", config)); err == nil {
				t.Error("CHECK of what was detached")
			}
		})
	}
}

func TestDefaultBackend(t *testing.T) {
	for options, want := range map[string]string{
		"":                                   "nftables",
		`"conditionsV4": [""]`:               "nftables",
		`"conditionsV4": ["-d", "10.0.0.1"]`: "iptables",
		`"conditionsV6": ["!", "-d", "::1"], "snat": false`:       "iptables",
		`"externalSetMarkChain": "KUBE-MARK-MASQ", "snat": false`: "iptables",
	} {
		t.Run(options, func(t *testing.T) {
			testnode.ClearRules(t)
			p, config := plugin(t), configure(options, webPort, bothAddresses)
			add(t, p, "pod", config)
			if got := testnode.Rules(t); strings.Contains(got, "table ip cni_hostport") != (want == "nftables") || strings.Contains(got, chainDNAT) != (want == "iptables") {
				t.Errorf("want %s, rules\n%s", want, got)
			}
			del(t, p, "pod", config)
			if got := testnode.Rules(t); strings.Contains(got, "CNI-DN-") || strings.Contains(got, "dnat to") {
				t.Errorf("left behind\n%s", got)
			}
		})
	}
}

func TestNoNFTables(t *testing.T) {
	testnode.ClearRules(t)
	p := New(Config{Host: plugin(t).host, Tables: nft.None()})
	config, only := configure("", webPort, bothAddresses), configure(`"backend": "nftables"`, webPort, bothAddresses)
	if _, err := p.Add(t.Context(), call("pod", only)); !errors.Is(err, nft.ErrUnsupported) {
		t.Errorf("error %v", err)
	}
	if err := p.Status(t.Context(), call("", only)); err == nil {
		t.Error("STATUS of a backend that does not work")
	}
	if err := p.Status(t.Context(), call("", config)); err != nil {
		t.Error(err)
	}
	add(t, p, "pod", config)
	if got := testnode.Rules(t); !strings.Contains(got, "CNI-DN-") {
		t.Errorf("rules\n%s", got)
	}
	if err := p.Check(t.Context(), call("pod", config)); err != nil {
		t.Error(err)
	}
}

func TestDeclined(t *testing.T) {
	p := plugin(t)
	testnode.ClearRules(t)
	for _, options := range []string{`"backend": "nftables", "conditionsV4": ["ip", "saddr", "192.0.2.0/24"]`, `"conditionsV6": ["meta mark 1"]`} {
		_, err := p.Add(t.Context(), call("pod", configure(options, webPort, bothAddresses)))
		if !errors.Is(err, cniplugin.ErrDeclined) {
			t.Errorf("%s: error %v", options, err)
		}
	}
	if got := testnode.Rules(t); strings.Contains(got, "hostport") {
		t.Errorf("a side effect\n%s", got)
	}
	config := configure(`"backend": "nftables", "conditionsV4": ["ip saddr 192.0.2.0/24"]`, webPort, bothAddresses)
	referenceAdd(t, "pod", config)
	del(t, p, "pod", config)
	if got := testnode.Rules(t); strings.Contains(got, "pod") {
		t.Errorf("left behind\n%s", got)
	}
}

func TestStatus(t *testing.T) {
	p := plugin(t)
	for _, options := range []string{"", `"backend": "nftables"`, `"backend": "iptables"`} {
		if err := p.Status(t.Context(), call("", configure(options, "", bothAddresses))); err != nil {
			t.Errorf("%s: %v", options, err)
		}
	}
	if err := p.Status(t.Context(), call("", `{"backend": "ipfw"}`)); err == nil {
		t.Error("a backend that there is not")
	}
	t.Setenv("PATH", "/nowhere")
	if err := plugin(t).Status(t.Context(), call("", `{"backend": "iptables"}`)); err == nil {
		t.Error("no iptables, no error")
	}
}

// Without iptables' programs everything but its backend works: none is started.
func TestNoProgram(t *testing.T) {
	testnode.ClearRules(t)
	path := t.TempDir()
	p, config := plugin(t), configure("", webPort, bothAddresses)
	func() {
		t.Setenv("PATH", path)
		add(t, p, "pod", config)
		if err := p.Check(t.Context(), call("pod", config)); err != nil {
			t.Error(err)
		}
		del(t, p, "pod", config)
		del(t, p, "pod", config)
	}()
}

// Somebody flushes the rules, and the daemon is restarted, in between.
func TestFlushedAndRestarted(t *testing.T) {
	testnode.ClearRules(t)
	p, config := plugin(t), configure("", webPort, bothAddresses)
	add(t, p, "one", config)
	want := strings.ReplaceAll(testnode.Rules(t), "one", "two")
	testnode.ClearRules(t)
	if err := p.Check(t.Context(), call("one", config)); err == nil {
		t.Error("CHECK of rules that were flushed")
	}
	del(t, p, "one", config)
	add(t, p, "two", config)
	if got := testnode.Rules(t); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	p = plugin(t)
	testnode.Run(t, "nft", "flush chain ip cni_hostport prerouting; flush chain ip cni_hostport hostports_all")
	add(t, p, "three", config)
	del(t, p, "two", config)
	if got, want := testnode.Rules(t), strings.ReplaceAll(want, "two", "three"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestConcurrent(t *testing.T) {
	testnode.ClearRules(t)
	p := plugin(t)
	var wait sync.WaitGroup
	for i := range 200 {
		config := configure("", fmt.Sprintf(`{"hostPort": %d, "containerPort": 80, "protocol": "tcp"}`, 10000+i), bothAddresses)
		wait.Go(func() {
			id := fmt.Sprintf("pod%d", i)
			if _, err := p.Add(t.Context(), call(id, config)); err != nil {
				t.Error(err)
			}
			if err := p.Check(t.Context(), call(id, config)); err != nil {
				t.Error(err)
			}
			if i%2 == 0 {
				if err := p.Del(t.Context(), call(id, config)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if got := strings.Count(testnode.Rules(t), "dnat to"); got != 200 {
		t.Errorf("%d rules for 100 pods with two addresses", got)
	}
}
