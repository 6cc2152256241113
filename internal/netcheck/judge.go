// SPDX-License-Identifier: Apache-2.0

package netcheck

import (
	"fmt"
	"strings"
)

// judge tells what is left over from what is somebody's.
type judge struct {
	known      *known
	networks   *networks
	interfaces map[string]bool // that are somebody's
	hashes     map[string]bool // of attachments that are somebody's
	busy       bool
}

// left reports whether a thing is the daemon's and no pod's.
func (j *judge) left(f *Finding) bool {
	switch f.Kind {
	case "interface":
		// One that a plugin has just made is in no result yet.
		return !j.busy && !j.interfaces[f.Name]
	case "nftables rule":
		if f.Detail != "" {
			return j.ours(f) && !j.hashes[f.Detail] && !j.known.has(f.Pod)
		}
	case "namespace":
		return !j.known.isPod(f.Pod)
	}
	return podID.MatchString(f.Pod) && !j.known.has(f.Pod)
}

// ours reports whether a masquerading rule is of one of the networks, which it then names.
func (j *judge) ours(f *Finding) bool {
	for name := range j.networks.names {
		if strings.HasPrefix(f.Detail, networkHash(name)+"-") {
			f.Network = name
			return true
		}
	}
	return false
}

// hashes of all attachments that there may be. A pod's interfaces are eth0 and so on, whatever its results say.
func (k *known) hashes(n *networks) map[string]bool {
	all := map[string]bool{}
	add := func(id string) {
		for network := range n.names {
			for i := range 10 {
				all[attachmentHash(network, fmt.Sprintf("eth%d", i), id)] = true
			}
		}
	}
	for id := range k.pods {
		add(id)
	}
	for id := range k.sandboxes {
		add(id)
	}
	for id, r := range k.records {
		add(id)
		for _, net := range r.Networks {
			for network := range n.names {
				all[attachmentHash(network, net.Interface, id)] = true
			}
		}
	}
	for _, r := range k.others {
		all[attachmentHash(r.NetworkName, r.IfName, r.ContainerID)] = true
	}
	return all
}
