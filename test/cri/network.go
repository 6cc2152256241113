// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// plugins are the programs that the network below needs.
var plugins = []string{"bridge", "host-local", "loopback", "portmap"}

// writeNetwork writes the configuration of a network like those of small
// clusters: a bridge, addresses of a range, and ports of the host. All of it
// lies in the node's own namespace, so every test may have the same.
func (n *Node) writeNetwork(dir string) {
	n.t.Helper()
	network := map[string]any{
		"cniVersion": "1.0.0",
		"name":       "pods",
		"plugins": []map[string]any{{
			"type":        "bridge",
			"bridge":      "cni0",
			"isGateway":   true,
			"ipMasq":      true,
			"hairpinMode": true,
			"ipam": map[string]any{
				"type":    "host-local",
				"dataDir": filepath.Join(dir, "addresses"),
				"ranges":  [][]map[string]string{{{"subnet": "10.88.0.0/16"}}},
				"routes":  []map[string]string{{"dst": "0.0.0.0/0"}},
			},
		}, {
			"type":         "portmap",
			"capabilities": map[string]bool{"portMappings": true},
			"snat":         true,
		}},
	}
	text, err := json.Marshal(network)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cni", "10-pods.conflist"), text, 0o644); err != nil {
		n.t.Fatal(err)
	}
	n.addresses = filepath.Join(dir, "addresses", "pods")
}

// Addresses returns the addresses of the pods' network in use.
func (n *Node) Addresses() []string {
	n.t.Helper()
	found, err := filepath.Glob(filepath.Join(n.addresses, "10.*"))
	if err != nil {
		n.t.Fatal(err)
	}
	for i := range found {
		found[i] = filepath.Base(found[i])
	}
	return found
}
