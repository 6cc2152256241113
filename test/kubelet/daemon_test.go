// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sardine-run/sardine/internal/testnode"
	"github.com/sardine-run/sardine/test/e2e"
)

// daemonProgram is the daemon under test: sardined, or SARDINE_KUBELET_DAEMON.
func daemonProgram() string {
	if name := os.Getenv("SARDINE_KUBELET_DAEMON"); name != "" {
		return name
	}
	return "sardined"
}

// startDaemon starts the daemon with containerd's CRI settings, of which
// sardined reads the same ones. Restricting oom_score_adj is for machines where
// even root may not lower it.
func (n *node) startDaemon() *e2e.Daemon {
	n.writeNetwork()
	options := []e2e.Option{
		e2e.WithProgram(daemonProgram()),
		e2e.WithRoot(n.path("root", "daemon")),
		e2e.WithCRI(),
		e2e.WithConfig(fmt.Sprintf(`
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = %q
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = [%q]
conf_dir = %q
`, n.images.pause, filepath.Dir(e2e.Program(n.t, "bridge")), n.path("net.d"))),
	}
	if daemonProgram() != "sardined" {
		options = append(options, e2e.WithLeaksIgnored(containerdKeeps))
	}
	return e2e.StartDaemon(n.t, options...)
}

// containerdKeeps exempts what stock containerd has after its first pod.
func containerdKeeps(l testnode.Leak) bool {
	return l.Kind == "descriptor" || l.Kind == "file" && strings.Contains(l.Name, "/io.containerd.")
}

// writeNetwork configures the usual plugins: a bridge, and ports of the node
// that lead to pods.
func (n *node) writeNetwork() {
	config := fmt.Sprintf(`{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [
    {
      "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
      "ipam": {
        "type": "host-local", "dataDir": %q,
        "ranges": [[{"subnet": "10.88.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}`, n.path("ipam"))
	if err := os.Mkdir(n.path("net.d"), 0o755); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(n.path("net.d", "10-pods.conflist"), []byte(config), 0o600); err != nil {
		n.t.Fatal(err)
	}
}
