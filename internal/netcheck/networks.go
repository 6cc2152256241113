// SPDX-License-Identifier: Apache-2.0

package netcheck

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/utils"
)

// networks are those that the daemon attaches pods to, or has.
type networks struct {
	names   map[string]bool
	leases  map[string]string // directories of host-local, to the network's name
	bridges map[string]bool
}

// hostLocalDir is host-local's own default.
const hostLocalDir = "/var/lib/cni/networks"

// networksOf finds them where the daemon does: in the configuration, and in what it has written down of pods.
func (o *Options) networksOf(k *known) *networks {
	n := &networks{names: map[string]bool{}, leases: map[string]string{}, bridges: map[string]bool{}}
	files, _ := libcni.ConfFiles(o.ConfDir, []string{".conf", ".conflist", ".json"}) // without there are none
	for _, path := range files {
		n.addFile(path)
	}
	for _, r := range k.records {
		for _, net := range r.Networks {
			n.add(net.Config)
		}
	}
	for _, r := range k.results {
		n.add(r.Config)
	}
	const sardine = "sardine" // the name of the default network
	n.addNetwork(sardine, o.defaultNetwork())
	n.bridges[sardine+"0"] = true
	return n
}

// addFile takes a configuration file; one that cannot be read is none.
func (n *networks) addFile(path string) {
	if filepath.Ext(path) != ".conflist" { // a single plugin, the form of CNI before 1.0
		if text, err := os.ReadFile(path); err == nil {
			var one struct {
				Name string `json:"name"`
			}
			if json.Unmarshal(text, &one) == nil {
				n.addOne(one.Name, text)
			}
		}
		return
	}
	list, err := libcni.NetworkConfFromFile(path)
	if err != nil {
		return
	}
	for _, p := range list.Plugins {
		n.addOne(list.Name, p.Bytes)
	}
}

// add takes a list of plugins; one that cannot be read is none.
func (n *networks) add(text []byte) {
	var list struct {
		Name    string            `json:"name"`
		Plugins []json.RawMessage `json:"plugins"`
	}
	if json.Unmarshal(text, &list) != nil {
		return
	}
	for _, p := range list.Plugins {
		n.addOne(list.Name, p)
	}
}

func (n *networks) addOne(name string, text []byte) {
	var p struct {
		Type   string `json:"type"`
		Bridge string `json:"bridge"`
		IPAM   struct {
			Type    string `json:"type"`
			DataDir string `json:"dataDir"`
		} `json:"ipam"`
	}
	if json.Unmarshal(text, &p) != nil || utils.ValidateNetworkName(name) != nil {
		return
	}
	n.names[name] = true
	if p.Type == "bridge" {
		if p.Bridge == "" {
			p.Bridge = "cni0"
		}
		n.bridges[p.Bridge] = true
	}
	if p.IPAM.Type == "host-local" {
		if p.IPAM.DataDir == "" {
			p.IPAM.DataDir = hostLocalDir
		}
		n.addNetwork(name, p.IPAM.DataDir)
	}
}

func (n *networks) addNetwork(name, dataDir string) {
	n.names[name] = true
	if filepath.IsAbs(dataDir) {
		n.leases[filepath.Join(dataDir, name)] = name
	}
}
