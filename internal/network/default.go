// SPDX-License-Identifier: Apache-2.0

package network

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
)

const (
	// defaultName is the network of a node whose administrator has configured none.
	defaultName   = "sardine"
	defaultBridge = "sardine0"
)

// defaultConfiguration is a network for a node on which nothing is configured: a bridge, addresses that are nobody
// else's, and the way out by masquerading. Its addresses are chosen once and noted in dataDir, which is on a disk, beside
// the files of host-local. ErrFailedPrecondition when what is noted there is unusable, or no range is free.
func defaultConfiguration(dataDir string) (*configuration, error) {
	ranges, err := defaultRanges(dataDir)
	if err != nil {
		return nil, fmt.Errorf("default network: %w", err)
	}
	if err := letForward(defaultBridge); err != nil {
		log.L.WithError(err).Warn("cni: it is not known whether the host forwards for the default network")
	}
	text, err := json.Marshal(defaultList(dataDir, ranges))
	if err != nil {
		return nil, fmt.Errorf("default network: %w: %w", err, errdefs.ErrInternal)
	}
	list, err := parseList(text)
	if err != nil {
		return nil, fmt.Errorf("default network: %w: %w", err, errdefs.ErrInternal)
	}
	return &configuration{networks: []*network{{list: list, ifName: defaultInterface}}}, nil
}

// defaultList is what would stand in a file *.conflist.
func defaultList(dataDir string, ranges []netip.Prefix) map[string]any {
	var sets [][]ipRange
	var routes []map[string]string
	for _, r := range ranges {
		sets = append(sets, []ipRange{{Subnet: r.String()}})
		routes = append(routes, map[string]string{"dst": anywhere(r)})
	}
	return map[string]any{
		"cniVersion": "1.1.0",
		"name":       defaultName,
		"plugins": []map[string]any{{
			"type":          "bridge",
			"bridge":        defaultBridge,
			"isGateway":     true,
			"ipMasq":        true,
			"ipMasqBackend": "nftables",
			"hairpinMode":   true,
			"ipam": map[string]any{
				"type": "host-local", "dataDir": filepath.Join(dataDir, "networks"), "ranges": sets, "routes": routes,
			},
		}, {
			"type":         "portmap",
			"backend":      "nftables",
			"capabilities": map[string]bool{capPortMappings: true},
			"snat":         true,
		}},
	}
}

func anywhere(p netip.Prefix) string {
	if p.Addr().Is4() {
		return "0.0.0.0/0"
	}
	return "::/0"
}
