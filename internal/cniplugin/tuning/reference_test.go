// SPDX-License-Identifier: Apache-2.0

package tuning

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
)

// configurations are the documented ones: %s is what stands for dataDir and prevResult.
var configurations = map[string]struct {
	config, args string
	fails        bool
}{
	"nothing":    {config: `{%s}`},
	"mac":        {config: `{"mac":"c2:b0:57:49:47:f1",%s}`},
	"promisc":    {config: `{"promisc":true,%s}`},
	"mtu":        {config: `{"mtu":1454,%s}`},
	"allmulti":   {config: `{"allmulti":true,%s}`},
	"no multi":   {config: `{"allmulti":false,%s}`},
	"queue":      {config: `{"txQLen":20000,%s}`},
	"all":        {config: `{"mac":"c2:b0:57:49:47:f1","promisc":true,"mtu":1454,"allmulti":true,"txQLen":7,"sysctl":{"net.core.somaxconn":"777","net.ipv4.conf.IFNAME.log_martians":"1"},%s}`},
	"slashes":    {config: `{"sysctl":{"net/ipv4/conf/IFNAME/arp_filter":"1"},%s}`},
	"runtime":    {config: `{"mac":"c2:b0:57:49:47:f1","runtimeConfig":{"mac":"c2:11:22:33:44:55"},%s}`},
	"env":        {config: `{%s}`, args: "IgnoreUnknown=1;MAC=c2:11:22:33:44:66"},
	"unknown":    {config: `{%s}`, args: "NOPE=1", fails: true},
	"args":       {config: `{"mac":"c2:b0:57:49:47:f1","sysctl":{"net.core.somaxconn":"500"},"args":{"cni":{"sysctl":{"net.core.somaxconn":"600"},"mac":"c2:11:22:33:44:77","promisc":true,"mtu":1300,"allmulti":true,"txQLen":9}},%s}`},
	"bad mac":    {config: `{"mtu":1400,"mac":"nonsense",%s}`, fails: true},
	"bad mtu":    {config: `{"mtu":1,"mac":"c2:b0:57:49:47:f1",%s}`, fails: true},
	"twice":      {config: `{"sysctl":{"net.core.somaxconn":"500","net.core.somaxconn":"501"},%s}`, fails: true},
	"escape":     {config: `{"sysctl":{"kernel.hostname":"owned"},%s}`, fails: true},
	"dots":       {config: `{"sysctl":{"net/../kernel/hostname":"owned"},%s}`, fails: true},
	"no sysctl":  {config: `{"sysctl":{"net.ipv4.nosuch":"1"},%s}`, fails: true},
	"bad value":  {config: `{"sysctl":{"net.core.somaxconn":"many"},%s}`, fails: true},
	"not string": {config: `{"sysctl":{"net.core.somaxconn":1},%s}`, fails: true},
	"bad type":   {config: `{"mtu":"1400",%s}`, fails: true},
}

func call(config, dir, args string) plugintest.Call {
	common := fmt.Sprintf(`"cniVersion":"1.0.0","name":"net","type":"tuning","dataDir":%q,"prevResult":{"cniVersion":"1.0.0",
		"interfaces":[{"name":"host0"},{"name":"eth0","mac":"02:00:00:00:00:02","sandbox":"pod"}],"ips":[{"address":"10.1.2.3/24","interface":1}],"dns":{}}`, dir)
	return plugintest.Call{Type: "tuning", Config: fmt.Sprintf(config, common), Args: args}
}

// state is what the plugin may change: interface, sysctls, files.
func state(t *testing.T, pair plugintest.Pair, dir string) string {
	t.Helper()
	var links []map[string]any
	if err := json.Unmarshal([]byte(plugintest.Run(t, pair.Pod, "ip", "-d", "-j", "link", "show", "eth0")), &links); err != nil {
		t.Fatal(err)
	}
	delete(links[0], "link_netnsid")
	delete(links[0], "ifindex")
	delete(links[0], "link_index")
	text := fmt.Sprintln(links[0])
	text += plugintest.Run(t, pair.Pod, "sh", "-c", "cd /proc/sys/net; cat core/somaxconn ipv4/conf/eth0/log_martians ipv4/conf/eth0/arp_filter")
	files, _ := filepath.Glob(dir + "/*")
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintln(filepath.Base(f), info.Mode(), string(content))
	}
	return text
}

func TestLikeReference(t *testing.T) {
	for name, c := range configurations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := plugintest.NewPair(t), plugintest.NewPair(t)
			ours.Veth(t, "host0", "eth0")
			theirs.Veth(t, "host0", "eth0")
			ourDir, theirDir := t.TempDir()+"/d", t.TempDir()+"/d"
			p, before := New(Config{}), state(t, ours, ourDir)
			for _, verb := range []string{"ADD", "CHECK", "DEL", "DEL"} {
				if verb == "CHECK" && c.fails {
					continue
				}
				want, wantErr := plugintest.Reference(t, theirs, verb, call(c.config, theirDir, c.args))
				got, err := plugintest.Inside(t.Context(), p, ours, verb, call(c.config, ourDir, c.args))
				if plugintest.Code(wantErr) != plugintest.Code(err) {
					t.Errorf("%s: %v, the reference says %v", verb, err, wantErr)
				}
				if verb == "ADD" && c.fails != (err != nil) {
					t.Errorf("%s: %v", verb, err)
				}
				plugintest.Same(t, verb, want, got)
				if c.fails && verb == "ADD" {
					if after := state(t, ours, ourDir); after != before {
						t.Errorf("the failed ADD has left\n%s\ninstead of\n%s", after, before)
					}
					return // the reference leaves things behind
				}
				if a, b := state(t, theirs, theirDir), state(t, ours, ourDir); a != b {
					t.Errorf("after %s\nreference: %s\ninside:    %s", verb, a, b)
				}
			}
		})
	}
}

// TestEitherRestores has one of the two take over from the other.
func TestEitherRestores(t *testing.T) {
	config := configurations["all"].config
	for _, first := range []string{"reference", "inside"} {
		t.Run(first+" first", func(t *testing.T) {
			pair, dir, p := plugintest.NewPair(t), t.TempDir()+"/d", New(Config{})
			pair.Veth(t, "host0", "eth0")
			before, _, _ := strings.Cut(state(t, pair, dir), "\n")
			add := func() (string, error) { return plugintest.Reference(t, pair, "ADD", call(config, dir, "")) }
			del := func() (string, error) { return plugintest.Inside(t.Context(), p, pair, "DEL", call(config, dir, "")) }
			if first == "inside" {
				add = func() (string, error) { return plugintest.Inside(t.Context(), p, pair, "ADD", call(config, dir, "")) }
				del = func() (string, error) { return plugintest.Reference(t, pair, "DEL", call(config, dir, "")) }
			}
			if _, err := add(); err != nil {
				t.Fatal(err)
			}
			if _, err := del(); err != nil {
				t.Fatal(err)
			}
			if after, _, _ := strings.Cut(state(t, pair, dir), "\n"); after != before {
				t.Errorf("restored as\n%s\ninstead of\n%s", after, before)
			}
			if left, _ := os.ReadDir(dir); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestCheckFindsWhatChanged(t *testing.T) {
	pair, dir, p := plugintest.NewPair(t), t.TempDir(), New(Config{})
	pair.Veth(t, "host0", "eth0")
	c := call(configurations["all"].config, dir, "")
	if _, err := plugintest.Inside(t.Context(), p, pair, "ADD", c); err != nil {
		t.Fatal(err)
	}
	for _, change := range []string{"address 02:00:00:00:00:99", "promisc off", "mtu 1400", "allmulticast off", "txqueuelen 8"} {
		restore := map[string]string{"address": "c2:b0:57:49:47:f1", "promisc": "on", "mtu": "1454", "allmulticast": "on", "txqueuelen": "7"}
		words := strings.Fields(change)
		plugintest.Run(t, pair.Pod, "ip", append([]string{"link", "set", "eth0"}, words...)...)
		_, ours := plugintest.Inside(t.Context(), p, pair, "CHECK", c)
		_, theirs := plugintest.Reference(t, pair, "CHECK", c)
		if ours == nil || theirs == nil {
			t.Errorf("%s: CHECK says %v, the reference %v", change, ours, theirs)
		}
		plugintest.Run(t, pair.Pod, "ip", "link", "set", "eth0", words[0], restore[words[0]])
	}
	plugintest.Run(t, pair.Pod, "sh", "-c", "echo 5 > /proc/sys/net/core/somaxconn")
	if _, err := plugintest.Inside(t.Context(), p, pair, "CHECK", c); err == nil {
		t.Error("CHECK does not see a changed sysctl")
	}
}

func TestDelWithoutNamespaceDropsTheFile(t *testing.T) {
	for _, netns := range []string{"none", "/run/netns/gone", "/etc/hostname"} {
		pair, dir, p := plugintest.NewPair(t), t.TempDir(), New(Config{})
		pair.Veth(t, "host0", "eth0")
		c := call(configurations["mtu"].config, dir, "")
		if _, err := plugintest.Inside(t.Context(), p, pair, "ADD", c); err != nil {
			t.Fatal(err)
		}
		c.NetNS = netns
		for range 2 {
			if _, err := plugintest.Inside(t.Context(), p, pair, "DEL", c); err != nil {
				t.Error(netns, err)
			}
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%s: left: %v", netns, left)
		}
	}
}

// TestAllowlist puts the file where the reference looks for it, in the test's own mount namespace.
func TestAllowlist(t *testing.T) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", "/etc", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount("/etc", unix.MNT_DETACH)
	for _, c := range []struct{ list, sysctl string }{
		{"^net.core.somaxconn$", "net.core.somaxconn"},
		{"\n  ^net\\.ipv4\\.conf\\.IFNAME\\.[a-z_]*$  \n\n", "net.ipv4.conf.IFNAME.log_martians"},
		{"^net.core.somaxconn$", "net.ipv4.conf.IFNAME.log_martians"},
		{"", "net.core.somaxconn"},
		{"(", "net.core.somaxconn"},
	} {
		if err := os.MkdirAll("/etc/cni/tuning", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("/etc/cni/tuning/allowlist.conf", []byte(c.list), 0o600); err != nil {
			t.Fatal(err)
		}
		pair := plugintest.NewPair(t)
		pair.Veth(t, "host0", "eth0")
		in := call(`{"sysctl":{"`+c.sysctl+`":"1"},%s}`, t.TempDir(), "")
		_, theirs := plugintest.Reference(t, pair, "ADD", in)
		_, ours := plugintest.Inside(t.Context(), New(Config{}), pair, "ADD", in)
		if plugintest.Code(ours) != plugintest.Code(theirs) {
			t.Errorf("%q, %s: %v, the reference says %v", c.list, c.sysctl, ours, theirs)
		}
	}
}

func TestSysctlPaths(t *testing.T) {
	for name, want := range map[string]string{
		"net.ipv4.conf.IFNAME.forwarding": "ipv4/conf/eth0.5/forwarding",
		"net/ipv4/conf/IFNAME/forwarding": "ipv4/conf/eth0.5/forwarding",
		"net..core.somaxconn":             "core/somaxconn",
		"net.IFNAME.IFNAME":               "eth0.5/IFNAME",
		"net/../../kernel/hostname":       "kernel/hostname", // of net: each dot is a slash
	} {
		got, err := sysctlPaths(sysctls{name: "1"}, "eth0.5")
		if err != nil || len(got) != 1 || got[0].path != want {
			t.Errorf("%s is %v, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "net", "net.", "kernel.hostname", "/kernel/../net/x", "network.x", "net/a\x00b"} {
		if got, err := sysctlPaths(sysctls{name: "1"}, "eth0"); err == nil {
			t.Errorf("%q is taken for %v", name, got)
		}
	}
	if _, err := sysctlPaths(sysctls{"net.IFNAME.x": "1"}, ".."); err == nil {
		t.Error("an interface called .. leads out")
	}
}

func TestUndoReportsBothErrors(t *testing.T) {
	pair := plugintest.NewPair(t)
	undo, err := setSysctls(pair.Pod, []sysctl{{path: "core/somaxconn", value: "99"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := undo(); err != nil {
		t.Error(err)
	}
	if err := errors.Join(nil, undo()); err != nil {
		t.Error("undone twice:", err)
	}
	if now := plugintest.Run(t, pair.Pod, "cat", "/proc/sys/net/core/somaxconn"); now == "99\n" {
		t.Error("not undone")
	}
}
