// SPDX-License-Identifier: Apache-2.0

package throwaway

import "fmt"

// config keeps the daemon below its directory. CRI is off unless asked for: by
// default it makes and watches directories at fixed places of the machine.
func (d *Daemon) config(bpf string, cri *CRI) []byte {
	disabled, section := `"io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"`, ""
	if cri != nil {
		disabled, section = "", cri.config(d.Dir)
	}
	return fmt.Appendf(nil, `version = 3
root = %[1]q
state = %[2]q
disabled_plugins = [%[10]s]

[grpc]
  address = %[3]q

[ttrpc]
  address = %[4]q

[debug]
  address = %[5]q

[plugins."io.containerd.internal.v1.opt"]
  path = %[6]q

[plugins."io.containerd.nri.v1.nri"]
  socket_path = %[7]q
  plugin_path = %[8]q
  plugin_config_path = %[8]q

# Read by sardined; containerd ignores it with a warning.
[plugins."io.containerd.runtime.v2.task".sardine]
  bpf_dir = %[9]q
%[11]s`, d.Dir+"/root", d.Dir+"/run/state", d.Socket, d.Socket+".ttrpc", d.DebugSocket(), d.Dir+"/opt", d.Dir+"/run/nri.sock", d.Dir+"/nri", bpf, disabled, section)
}

// DebugSocket is where the daemon serves pprof and expvar over HTTP.
func (d *Daemon) DebugSocket() string { return d.Dir + "/run/debug" }
