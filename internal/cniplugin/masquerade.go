// SPDX-License-Identifier: Apache-2.0

package cniplugin

import (
	"context"
	"fmt"
	"net"

	"github.com/containernetworking/cni/pkg/types"
)

// Masquerade is of masquerade.Rules what plugins need.
type Masquerade interface {
	Add(ctx context.Context, backend string, nets []*net.IPNet, network, ifName, id string) error
	Del(ctx context.Context, nets []*net.IPNet, network, ifName, id string) error
	GC(ctx context.Context, network string, valid []types.GCAttachment) error
}

// MasqueradeBackend is what Masquerade.Add is given for a configuration's ipMasqBackend, which may be missing. It is no method of
// something to embed, as Previous is: what encoding/json says of a field of the wrong type names what is embedded.
func MasqueradeBackend(configured *string) (string, error) {
	if configured == nil {
		return "", nil
	}
	if b := *configured; b == "iptables" || b == "nftables" {
		return b, nil
	}
	return "", fmt.Errorf("unknown ipmasq backend %q", *configured)
}
