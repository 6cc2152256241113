// SPDX-License-Identifier: Apache-2.0

package masquerade

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/sardine-run/sardine/internal/cniplugin/plugintest"
	"github.com/sardine-run/sardine/internal/nft"
	"github.com/sardine-run/sardine/internal/testnode"
)

func TestMain(m *testing.M) { testnode.OwnNetwork(m) }

// open makes Rules that know of nothing, as after a start of the daemon.
func open(t testing.TB) *Rules {
	t.Helper()
	testnode.NeedRoot(t)
	tables, err := nft.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tables.Close() })
	return New(tables)
}

// address is an address with its network, as results of IPAM plugins have them.
func address(s string) *net.IPNet {
	ip, n, err := net.ParseCIDR(s)
	if err != nil {
		panic(err)
	}
	return &net.IPNet{IP: ip, Mask: n.Mask}
}

// reference runs the reference plugin bridge, which hands out the address N.0.0.2 or fd00:N::2.
func reference(t testing.TB, pair plugintest.Pair, verb, dir, backend, network, id string, subnets ...string) {
	t.Helper()
	var ranges []string
	for _, s := range subnets {
		ranges = append(ranges, fmt.Sprintf(`[{"subnet": %q}]`, s))
	}
	config := fmt.Sprintf(`{"cniVersion": "1.0.0", "name": %q, "type": "bridge", "bridge": "cni0", "ipMasq": true, "ipMasqBackend": %q,
		"ipam": {"type": "host-local", "dataDir": %q, "ranges": [%s]}}`, network, backend, dir, strings.Join(ranges, ","))
	if _, err := plugintest.Reference(t, pair, verb, plugintest.Call{Type: "bridge", ContainerID: id, Config: config}); err != nil {
		t.Fatalf("reference plugin: %v", err)
	}
}
