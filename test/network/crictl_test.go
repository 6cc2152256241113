// SPDX-License-Identifier: Apache-2.0

package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sardine-run/sardine/internal/testnode"
	"github.com/sardine-run/sardine/test/e2e"
)

// bridged is a network of a bridge and addresses, whose files are below dir.
func bridged(dir, options string) string {
	return fmt.Sprintf(`{"cniVersion":"1.1.0","name":"pods","plugins":[{"type":"bridge","bridge":"cni0","isGateway":true%s,
		"ipam":{"type":"host-local","dataDir":%q,"ranges":[[{"subnet":"10.88.0.0/16"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
		{"type":"portmap","capabilities":{"portMappings":true}}]}`, options, dir+"/addresses")
}

// A configuration that cannot work is told by crictl info and by the pod that fails, and nothing else has to be done than to mend it.
func TestBadConfiguration(t *testing.T) {
	n := startNode(t, settings{programs: "/nonexistent"}, map[string]string{"10-pods.conflist": `{"cniVersion":`})
	for _, bad := range []struct{ name, text, reason string }{
		{"not JSON", `{"cniVersion":`, "10-pods.conflist"},
		{"no plugins", `{"cniVersion":"1.0.0","name":"pods","plugins":[]}`, "10-pods.conflist"},
		{"no such plugin", `{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"absent"}]}`, "absent"},
		{"VLAN", bridged(n.dir, `,"vlan":5000`), "invalid VLAN ID 5000"},
		{"version", strings.Replace(bridged(n.dir, ""), "1.1.0", "9.9.9", 1), "9.9.9"},
		{"range", strings.Replace(bridged(n.dir, ""), "10.88.0.0/16", "fish", 1), "fish"},
	} {
		n.write("10-pods.conflist", bad.text)
		n.awaitReason(bad.name, bad.reason)
		if id, err := n.run(); err == nil || !strings.Contains(err.Error(), bad.reason) {
			t.Errorf("%s: a pod: %s, %v", bad.name, id, err)
		}
	}
	n.write("10-pods.conflist", bridged(n.dir, ""))
	n.awaitReady(true)
	id, err := n.run()
	if err != nil {
		t.Fatal(err)
	}
	if ip := n.address(id); !strings.HasPrefix(ip, "10.88.") {
		t.Errorf("address %q", ip)
	}
	n.removeAll()
}

// What a plugin says of a pod reaches who asked for the pod, with its code.
func TestPluginError(t *testing.T) {
	n := startNode(t, settings{programs: "/nonexistent"}, nil)
	full := strings.Replace(bridged(n.dir, ""), `"subnet":"10.88.0.0/16"`, `"subnet":"10.88.0.0/16","rangeStart":"10.88.0.9","rangeEnd":"10.88.0.9"`, 1)
	n.write("10-pods.conflist", full)
	n.awaitReady(true)
	if _, err := n.run(); err != nil {
		t.Fatal(err)
	}
	if id, err := n.run(); err == nil || !strings.Contains(err.Error(), "10.88.0.9") {
		t.Errorf("a pod too many: %s, %v", id, err)
	}
	n.removeAll()
	if _, err := n.run(); err != nil {
		t.Errorf("a pod after all others have gone: %v", err)
	}
	n.removeAll()
}

// in_process = false executes the reference's programs.
func TestPrograms(t *testing.T) {
	programs := filepath.Dir(e2e.Program(t, "bridge"))
	n := startNode(t, settings{programs: programs, section: "in_process = false"}, nil)
	n.write("10-pods.conflist", bridged(n.dir, `,"ipMasq":true`))
	n.awaitReady(true)
	id, err := n.run()
	if err != nil {
		t.Fatal(err)
	}
	if ip := n.address(id); !strings.HasPrefix(ip, "10.88.") {
		t.Errorf("address %q", ip)
	}
	n.removeAll()
	if !strings.Contains(n.Log(), "all plugins are executed") {
		t.Error("the log does not say that plugins are executed")
	}
	n.write("10-pods.conflist", strings.Replace(bridged(n.dir, ""), `"type":"bridge"`, `"type":"absent"`, 1))
	if reason := n.awaitReady(false); !strings.Contains(reason, "absent") {
		t.Errorf("reason: %s", reason)
	}
}

// default_network = true gives pods addresses on a node with no plugin and no configuration.
func TestDefaultNetwork(t *testing.T) {
	n := startNode(t, settings{programs: "/nonexistent", section: "default_network = true"}, nil)
	n.awaitReady(true)
	addresses := map[string]bool{}
	for range 2 {
		id, err := n.run()
		if err != nil {
			t.Fatal(err)
		}
		ip := n.address(id)
		if net.ParseIP(ip) == nil || addresses[ip] {
			t.Errorf("address %q", ip)
		}
		addresses[ip] = true
		ctx, cancel := context.WithTimeout(t.Context(), testnode.Patience)
		if _, err := n.place.Dial(ctx, "tcp", net.JoinHostPort(ip, "1")); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("the pod does not answer for %s: %v", ip, err)
		}
		cancel()
	}
	n.Kill9()
	n.Start()
	n.awaitReady(true)
	n.removeAll()
	testnode.Eventually(t, "no interface is left", func() bool { return n.output("ip", "-o", "link", "show", "type", "veth") == "" })
}

// Without default_network a node without a configuration is not ready, and says where one is missed.
func TestNoNetwork(t *testing.T) {
	n := startNode(t, settings{programs: "/nonexistent"}, nil)
	if reason := n.awaitReady(false); !strings.Contains(reason, n.dir+"/net.d") {
		t.Errorf("reason: %s", reason)
	}
	if id, err := n.run(); err == nil {
		t.Errorf("pod %s runs without a network", id)
	}
}
