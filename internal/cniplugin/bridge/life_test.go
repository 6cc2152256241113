// SPDX-License-Identifier: Apache-2.0

package bridge_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
	"github.com/sardine-run/sardine/internal/netif"
	"github.com/sardine-run/sardine/internal/testnode"
)

// add attaches and returns the result, as text and parsed.
func (w *world) add(t testing.TB, c plugintest.Call, pod *netif.Namespace) (string, *types100.Result) {
	t.Helper()
	text, err := w.Call(t.Context(), "ADD", c, pod)
	if err != nil {
		t.Fatal(err)
	}
	result := &types100.Result{}
	if err := json.Unmarshal([]byte(text), result); err != nil {
		t.Fatal(err)
	}
	return text, result
}

func (w *world) del(t testing.TB, c plugintest.Call, pod *netif.Namespace) {
	t.Helper()
	if _, err := w.Call(t.Context(), "DEL", c, pod); err != nil {
		t.Fatal(err)
	}
}

// links are the names of the host's interfaces.
func (w *world) links(t testing.TB) (names []string) {
	t.Helper()
	links, err := w.Host.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	return names
}

func (w *world) leases(t testing.TB) int {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(w.DataDir, "net", "*.*.*.*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(found)
}

// answers tells whether somebody refuses a connection. Where nobody should, a second's silence is enough.
func answers(t testing.TB, from *netif.Namespace, address string, expected bool) bool {
	t.Helper()
	patience := time.Second
	if expected {
		patience = time.Minute
	}
	var dialed error
	err := from.Do(func() error {
		_, dialed = net.DialTimeout("tcp", address+":9", patience)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return errors.Is(dialed, unix.ECONNREFUSED)
}

// TestAddressIsFree gives a pod's address to another one while the first one's namespace is held, and looks who answers.
func TestAddressIsFree(t *testing.T) {
	for name, options := range map[string]string{
		"derived address": `{"isDefaultGateway":true}`,
		"given address":   `{"isDefaultGateway":true,"runtimeConfig":{"mac":"%s"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			other, first, second := plugintest.NewNamespace(t), plugintest.NewNamespace(t), plugintest.NewNamespace(t)
			w.add(t, plugintest.Call{ContainerID: "other", Config: w.Config(`{"isDefaultGateway":true}`)}, other)
			call := func(id, mac string) plugintest.Call {
				if strings.Contains(options, "%s") {
					return plugintest.Call{ContainerID: id, Args: "IgnoreUnknown=1;IP=10.88.0.50", Config: w.Config(fmt.Sprintf(options, mac))}
				}
				return plugintest.Call{ContainerID: id, Args: "IgnoreUnknown=1;IP=10.88.0.50", Config: w.Config(options)}
			}
			c := call("first", "02:00:00:00:00:11")
			result, _ := w.add(t, c, first)
			for _, from := range []*netif.Namespace{w.Host, other} {
				if !answers(t, from, "10.88.0.50", true) {
					t.Fatal("the first pod does not answer")
				}
			}
			c.Config = plugintest.With(c.Config, result)
			w.del(t, c, first)
			if answers(t, first, "10.88.0.1", false) || answers(t, w.Host, "10.88.0.50", false) {
				t.Error("a detached pod is still reachable")
			}
			_, second2 := w.add(t, call("second", "02:00:00:00:00:22"), second)
			for _, from := range []*netif.Namespace{w.Host, other} {
				if !answers(t, from, "10.88.0.50", true) {
					t.Error("the second pod does not answer at once")
				}
				neighbour := plugintest.Run(t, from, "ip", "neigh", "show", "10.88.0.50")
				if mac := second2.Interfaces[2].Mac; !strings.Contains(neighbour, mac) {
					t.Errorf("the neighbour is %q and not %s", neighbour, mac)
				}
			}
			testnode.Eventually(t, "the first pod's link is deleted", func() bool { return len(w.links(t)) == 4 })
		})
	}
}

// TestAgain attaches the same namespace again, right after DEL.
func TestAgain(t *testing.T) {
	w, pod := newWorld(t), plugintest.NewNamespace(t)
	for range 5 {
		c := plugintest.Call{Config: w.Config(`{"isGateway":true,"ipMasq":true,"macspoofchk":true}`)}
		result, _ := w.add(t, c, pod)
		if w.Rules.Count() != 2 || w.leases(t) != 1 {
			t.Fatal(w.Rules.There, w.leases(t))
		}
		c.Config = plugintest.With(c.Config, result)
		w.del(t, c, pod)
		w.del(t, c, pod)
		if w.Rules.Count() != 0 || w.leases(t) != 0 {
			t.Fatal(w.Rules.There, w.leases(t))
		}
	}
	c := plugintest.Call{Config: w.Config(``)}
	w.add(t, c, pod)
	if _, err := w.Call(t.Context(), "ADD", plugintest.Call{ContainerID: "other", Config: c.Config}, pod); err == nil || w.leases(t) != 1 {
		t.Error("an interface that is used was taken: ", err)
	}
	w.del(t, c, pod) // without prevResult
	if names := w.links(t); w.leases(t) != 0 || len(names) != 2 {
		t.Error(names, w.leases(t))
	}
	w.del(t, plugintest.Call{Config: c.Config, NetNS: "/nowhere/at/all"}, nil)
	w.del(t, plugintest.Call{Config: c.Config}, nil)
}

// TestRefused has what cannot be done: the reference plugin's error where it has one, and nothing left.
func TestRefused(t *testing.T) {
	w := newWorld(t)
	plugintest.Run(t, w.Host, "ip", "link", "add", "dummy0", "type", "veth", "peer", "name", "dummy1")
	plugintest.Run(t, w.Host, "ip", "link", "add", "other", "type", "bridge")
	plugintest.Run(t, w.Host, "ip", "addr", "add", "10.1.2.3/16", "dev", "other")
	full := w.Config(`{"ipam":{"type":"host-local","dataDir":"DATADIR","subnet":"10.88.0.0/30"}}`)
	w.add(t, plugintest.Call{ContainerID: "last", Config: full}, plugintest.NewNamespace(t))
	before := fmt.Sprint(w.links(t), w.leases(t))
	for name, c := range map[string]struct {
		options, message string
		code             uint
	}{
		"vlan":              {`{"vlan":99999}`, "invalid VLAN ID 99999 (must be between 0 and 4094)", 999},
		"trunk":             {`{"vlanTrunk":[{"minID":5}]}`, "minID and maxID should be configured simultaneously, maxID is missing", 999},
		"trunk's end":       {`{"vlanTrunk":[{"minID":5,"maxID":4095}]}`, "incorrect trunk maxID parameter", 999},
		"trunk backwards":   {`{"vlanTrunk":[{"minID":5,"maxID":4}]}`, "minID is greater than maxID in trunk parameter", 999},
		"mtu":               {`{"mtu":70000}`, "mtu 70000", 7},
		"tiny mtu":          {`{"mtu":5}`, "failed to make veth pair", 999},
		"slash":             {`{"bridge":"../x"}`, "failed to create bridge", 7},
		"long":              {`{"bridge":"abcdefghijklmnop"}`, "failed to create bridge", 7},
		"nothing":           {`{"bridge":""}`, "failed to create bridge", 7},
		"long with vlan":    {`{"bridge":"abcdefghijkl","vlan":1000,"isGateway":true}`, "failed to create bridge", 7},
		"no bridge":         {`{"bridge":"dummy0"}`, `failed to create bridge "dummy0": "dummy0" already exists but is not a bridge`, 999},
		"address":           {`{"bridge":"other","isGateway":true}`, `failed to set bridge addr: "other" already has an IP address different from 10.88.0.1/16`, 999},
		"both modes":        {`{"hairpinMode":true,"promiscMode":true}`, "cannot set hairpin mode and promiscuous mode at the same time", 999},
		"without interface": {`{"disableContainerInterface":true}`, "cannot use IPAM when DisableContainerInterface flag is set", 999},
		"backend":           {`{"ipMasq":true,"ipMasqBackend":"x"}`, `unknown ipmasq backend "x"`, 999},
		"masquerade":        {`{"ipMasq":true,"macspoofchk":true,"ipMasqBackend":"iptables"}`, "no iptables here", 999},
		"mac":               {`{"runtimeConfig":{"mac":"zz"}}`, "address zz: invalid MAC address", 999},
		"multicast mac":     {`{"runtimeConfig":{"mac":"01:00:00:00:00:00"}}`, "no address of an Ethernet interface", 7},
		"full":              {`{"ipam":{"type":"host-local","dataDir":"DATADIR","subnet":"10.88.0.0/30"}}`, "10.88.0.1-10.88.0.2", 999},
		"types":             {`{"vlan":"x"}`, "failed to load netconf", 999},
		"route":             {`{"ipam":{"type":"host-local","dataDir":"DATADIR","subnet":"10.88.0.0/16","routes":[{"dst":"10.5.0.0/16","gw":"9.9.9.9"}]}}`, "failed to add route", 999},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.Call(t.Context(), "ADD", plugintest.Call{Config: w.Config(c.options)}, plugintest.NewNamespace(t))
			if err == nil || !strings.Contains(err.Error(), c.message) || plugintest.Code(err) != c.code {
				t.Errorf("error %v (%d), not %q (%d)", err, plugintest.Code(err), c.message, c.code)
			}
			if after := fmt.Sprint(w.links(t), w.leases(t)); after != before || w.Rules.Count() != 0 {
				t.Errorf("left: %s, before %s; %v", after, before, w.Rules.There)
			}
		})
	}
}

// TestNoNamespace has namespaces that are none, and one that vanishes.
func TestNoNamespace(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, "/nowhere/at/all", t.TempDir()} {
		if _, err := w.Call(t.Context(), "ADD", plugintest.Call{NetNS: path, Config: w.Config(``)}, nil); err == nil {
			t.Error(path, " is a namespace")
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Call(ended, "ADD", plugintest.Call{Config: w.Config(``)}, plugintest.NewNamespace(t)); err == nil {
		t.Error("nothing ends an ADD")
	}
	if w.leases(t) != 0 || len(w.links(t)) > 2 {
		t.Error(w.leases(t), w.links(t))
	}
}

// TestForceAddress replaces the bridge's address.
func TestForceAddress(t *testing.T) {
	w := newWorld(t)
	plugintest.Run(t, w.Host, "ip", "link", "add", "cni0", "type", "bridge")
	plugintest.Run(t, w.Host, "ip", "addr", "add", "10.1.2.3/16", "dev", "cni0")
	w.add(t, plugintest.Call{Config: w.Config(`{"isGateway":true,"forceAddress":true}`)}, plugintest.NewNamespace(t))
	if out := plugintest.Run(t, w.Host, "ip", "-4", "addr", "show", "cni0"); strings.Contains(out, "10.1.2.3") || !strings.Contains(out, "10.88.0.1/16") {
		t.Error(out)
	}
}

// TestConcurrent attaches and detaches twenty pods at once.
func TestConcurrent(t *testing.T) {
	w := newWorld(t)
	var group sync.WaitGroup
	for i := range 20 {
		pod := plugintest.NewNamespace(t)
		group.Go(func() {
			c := plugintest.Call{ContainerID: fmt.Sprint("pod", i), Config: w.Config(`{"isDefaultGateway":true,"ipMasq":true}`)}
			result, err := w.Call(t.Context(), "ADD", c, pod)
			if err == nil {
				c.Config = plugintest.With(c.Config, result)
				_, err = w.Call(t.Context(), "CHECK", c, pod)
			}
			if err == nil {
				_, err = w.Call(t.Context(), "DEL", c, pod)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if w.leases(t) != 0 || w.Rules.Count() != 0 {
		t.Error(w.leases(t), w.Rules.There)
	}
	testnode.Eventually(t, "all links are deleted", func() bool { return len(w.links(t)) == 2 })
}

// TestCheck changes what CHECK looks at, and compares with the reference plugin.
func TestCheck(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, w *world, pod *netif.Namespace){
		"nothing": func(*testing.T, *world, *netif.Namespace) {},
		"address": func(t *testing.T, _ *world, pod *netif.Namespace) {
			plugintest.Run(t, pod, "ip", "addr", "flush", "dev", "eth0")
		},
		"route": func(t *testing.T, _ *world, pod *netif.Namespace) {
			plugintest.Run(t, pod, "ip", "route", "del", "default")
		},
		"link": func(t *testing.T, _ *world, pod *netif.Namespace) {
			plugintest.Run(t, pod, "ip", "link", "del", "eth0")
		},
		"mac": func(t *testing.T, _ *world, pod *netif.Namespace) {
			plugintest.Run(t, pod, "ip", "link", "set", "eth0", "address", "02:00:00:00:00:77")
		},
		"bridge": func(t *testing.T, w *world, _ *netif.Namespace) {
			plugintest.Run(t, w.Host, "ip", "link", "del", "cni0")
		},
		"promisc": func(t *testing.T, w *world, _ *netif.Namespace) {
			plugintest.Run(t, w.Host, "ip", "link", "set", "cni0", "promisc", "on")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, pod := newWorld(t), plugintest.NewNamespace(t)
			c := plugintest.Call{Type: "bridge", Config: w.Config(`{"isDefaultGateway":true}`)}
			result, _ := w.add(t, c, pod)
			c.Config = plugintest.With(c.Config, result)
			change(t, w, pod)
			_, theirs := plugintest.Reference(t, plugintest.Pair{Host: w.Host, Pod: pod}, "CHECK", c)
			_, ours := w.Call(t.Context(), "CHECK", c, pod)
			if fmt.Sprint(theirs) != fmt.Sprint(ours) || (ours == nil) != (name == "nothing") {
				t.Errorf("reference: %v\nours: %v", theirs, ours)
			}
		})
	}
}

// TestTakeover detaches by one what the other has attached.
func TestTakeover(t *testing.T) {
	w := newWorld(t)
	pair := plugintest.Pair{Host: w.Host, Pod: plugintest.NewNamespace(t)}
	c := plugintest.Call{Type: "bridge", Config: w.Config(`{"isGateway":true}`)}
	result, err := plugintest.Reference(t, pair, "ADD", c)
	if err != nil {
		t.Fatal(err)
	}
	w.del(t, plugintest.Call{Config: plugintest.With(c.Config, result)}, pair.Pod)
	testnode.Eventually(t, "the link is deleted", func() bool { return len(w.links(t)) == 2 })
	if w.leases(t) != 0 {
		t.Error("a lease is left")
	}
	result, _ = w.add(t, c, pair.Pod)
	c.Config = plugintest.With(c.Config, result)
	if _, err := plugintest.Reference(t, pair, "DEL", c); err != nil || len(w.links(t)) != 2 || w.leases(t) != 0 {
		t.Error(err, w.links(t), w.leases(t))
	}
}

// TestOtherVerbs has STATUS and GC.
func TestOtherVerbs(t *testing.T) {
	w := newWorld(t)
	w.add(t, plugintest.Call{Config: w.Config(``)}, plugintest.NewNamespace(t))
	for verb, options := range map[string]string{"STATUS": ``, "GC": `{"ipMasq":true,"cni.dev/valid-attachments":[]}`} {
		if _, err := w.Call(t.Context(), verb, plugintest.Call{Config: w.Config(options)}, nil); err != nil {
			t.Error(verb, err)
		}
	}
	if w.leases(t) != 0 || w.Rules.There["gc net"] != "0" {
		t.Error(w.leases(t), w.Rules.There)
	}
	if _, err := w.Call(t.Context(), "STATUS", plugintest.Call{Config: w.Config(`{"vlan":-1}`)}, nil); err == nil {
		t.Error("a bad configuration is a good one")
	}
}
