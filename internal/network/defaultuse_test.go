// SPDX-License-Identifier: Apache-2.0

package network_test

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/sardine-run/sardine/internal/network"
)

// The default network is used while there is no configuration file, and no longer.
func TestDefaultNetworkIsUsed(t *testing.T) {
	n := newNode(t, builtIn(t), func(c *network.Config) { c.DefaultNetwork = true })
	ownHost(t)
	t.Cleanup(func() { exec.Command("ip", "link", "delete", "sardine0").Run() })
	n.must(n.Ready())
	a, r := n.setup("ours")
	if ip, err := netip.ParseAddr(r.IP); err != nil || !ip.IsPrivate() {
		t.Errorf("address %q: %v", r.IP, err)
	}
	n.write("10-a.conflist", `{`)
	if err := n.Ready(); !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "10-a.conflist") {
		t.Errorf("with a file that cannot be read: %v", err)
	}
	n.write("10-a.conflist", n.list("1.0.0", "blue", ""))
	b, r := n.setup("theirs")
	if r.IP != "10.1.0.2" {
		t.Errorf("with a file: address %s", r.IP)
	}
	n.must(os.Remove(filepath.Join(n.config.ConfDir, "10-a.conflist")))
	n.restart()
	c, r := n.setup("again")
	if !strings.HasPrefix(r.IP, "1") || r.IP == "10.1.0.2" {
		t.Errorf("without the file: address %s", r.IP)
	}
	for id, netns := range map[string]string{"ours": a.NetNS, "theirs": b.NetNS, "again": c.NetNS} {
		n.must(n.Teardown(context.Background(), id, netns))
	}
	n.nothingLeft()
}

func TestNoDefaultNetwork(t *testing.T) {
	n := newNode(t, builtIn(t))
	if err := n.Ready(); !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "no network configuration") {
		t.Errorf("ready: %v", err)
	}
}
