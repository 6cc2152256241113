// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// network looks for what CNI plugins need. Containers made by ctr or containerd's API do
// without.
func (o Options) network() []Finding {
	return []Finding{
		program("ip", "interfaces cannot be looked at by hand", "apt-get install iproute2"),
		firewall(),
		o.cniPlugins("loopback", "bridge", "host-local", "portmap"),
		forwarding(),
	}
}

func program(name, lost, advice string) Finding {
	f := Finding{Name: name, Lost: lost, Advice: advice}
	path, err := exec.LookPath(name)
	return f.found(path, err)
}

// firewall looks for either tool by which plugins translate addresses.
func firewall() Finding {
	f := Finding{Name: "iptables or nft", Lost: "host ports and masquerading of pods", Advice: "apt-get install iptables"}
	var found []string
	for _, name := range []string{"iptables", "nft"} {
		if path, err := exec.LookPath(name); err == nil {
			found = append(found, path)
		}
	}
	if len(found) == 0 {
		return f.found("", fmt.Errorf("neither is in PATH"))
	}
	return f.found(strings.Join(found, ", "), nil)
}

// cniPlugins looks for the plugins that nearly every network needs.
func (o Options) cniPlugins(names ...string) Finding {
	f := Finding{Name: "CNI plugins", Lost: "pods cannot have a network of their own",
		Advice: "apt-get install containernetworking-plugins, or github.com/containernetworking/plugins"}
	var missing []string
	for _, name := range names {
		if !o.hasPlugin(name) {
			missing = append(missing, name)
		}
	}
	if missing != nil {
		return f.found("", fmt.Errorf("no %s in %s", strings.Join(missing, ", "), o.CNIBin))
	}
	return f.found(strings.Join(names, ", ")+" in "+o.CNIBin, nil)
}

func (o Options) hasPlugin(name string) bool {
	return slices.ContainsFunc(filepath.SplitList(o.CNIBin), func(dir string) bool {
		_, err := exec.LookPath(filepath.Join(dir, name))
		return err == nil
	})
}

// forwarding is needed between pods of a bridge and the world.
func forwarding() Finding {
	f := Finding{Name: "IPv4 forwarding", Lost: "pods reach no other node", Advice: "sysctl -w net.ipv4.ip_forward=1"}
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	if err == nil && strings.TrimSpace(string(text)) != "1" {
		err = fmt.Errorf("net.ipv4.ip_forward is off")
	}
	return f.found("net.ipv4.ip_forward = 1", err)
}
