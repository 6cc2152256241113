// SPDX-License-Identifier: Apache-2.0

package throwaway

import (
	"fmt"

	"github.com/sardine-run/sardine/internal/tinyimage"
)

// CRI says how pods of a daemon get their network. Without plugins only those
// in the node's network run.
type CRI struct {
	Plugins string // directory of CNI plugins
	Network string // directory of CNI configurations
	// DefaultNetwork has sardined make a network when there is no configuration.
	DefaultNetwork bool
	// Binaries has sardined execute all plugins.
	Binaries bool
}

// config keeps CRI below the daemon's directory too. Where pods have a pause
// container, its program is the tiny image's: whoever runs pods imports that.
// Scores for the OOM killer are restricted to what machines without
// CAP_SYS_RESOURCE allow.
func (c *CRI) config(dir string) string {
	if c.Plugins == "" {
		c.Plugins = dir + "/cni"
	}
	if c.Network == "" {
		c.Network = dir + "/cni"
	}
	return fmt.Sprintf(`
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = %[1]q

[plugins."io.containerd.cri.v1.runtime"]
  cdi_spec_dirs = [%[2]q]
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = [%[3]q]
  conf_dir = %[4]q

[plugins."io.containerd.grpc.v1.cri"]
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"

# Read by sardined; containerd ignores it with a warning.
[plugins."io.containerd.sardine.v1.network"]
  default_network = %[5]t
  in_process = %[6]t
`, tinyimage.Name, dir+"/cdi", c.Plugins, c.Network, c.DefaultNetwork, !c.Binaries)
}
