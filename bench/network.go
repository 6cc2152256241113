// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/kernel"
)

// network is a bridge with the stock CNI plugins, in a network namespace of the
// bench's own.
type network struct {
	plugins string // directory for the daemon: links to the plugins, or to timedplugin
	config  string // directory of the configuration
	log     string // what timedplugin writes
	stock   string // directory of the plugins
	timer   string // path of timedplugin
}

// chain are the plugins that a daemon starts for a pod. bridge starts host-local.
var chain = []string{"bridge", "portmap", "loopback"}

const ipam = "host-local"

// wiring is what pods get from the plugins.
type wiring struct {
	subnet string
	nat    bool // addresses masked and ports mapped, which takes rules of iptables for each pod
}

var (
	usual = wiring{"10.88.0.0/16", true}
	// plain is for many pods: the time that iptables takes grows with the number of rules there are.
	plain = wiring{"10.88.0.0/20", false}
)

// newNetwork writes the configuration below dir. stock is the directory of the
// plugins, timer the path of timedplugin.
func newNetwork(dir, stock, timer string, w wiring) (*network, error) {
	n := &network{plugins: dir + "/plugins", config: dir + "/net.d", log: dir + "/plugins/log", stock: stock, timer: timer}
	text, err := w.configuration(dir + "/addresses")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{n.plugins, n.config, n.plugins + "/stock"} {
		if err := os.MkdirAll(name, 0o755); err != nil {
			return nil, err
		}
	}
	for _, name := range append(chain, ipam) {
		if err := os.Symlink(filepath.Join(stock, name), filepath.Join(n.plugins, "stock", name)); err != nil {
			return nil, err
		}
	}
	return n, errors.Join(os.WriteFile(n.config+"/10-bench.conflist", text, 0o644), n.watch(false))
}

// configuration is a list of plugins (CNI 1.0), which note addresses in a directory.
func (w wiring) configuration(addresses string) ([]byte, error) {
	plugins := []map[string]any{{
		"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": w.nat, "hairpinMode": true,
		"ipam": map[string]any{"type": ipam, "dataDir": addresses, "ranges": [][]map[string]string{{{"subnet": w.subnet}}}},
	}}
	if w.nat {
		plugins = append(plugins, map[string]any{"type": "portmap", "capabilities": map[string]bool{"portMappings": true}, "snat": true})
	}
	return json.Marshal(map[string]any{"cniVersion": "1.0.0", "name": "bench", "plugins": plugins})
}

// watch decides whether the time of plugins is taken. That costs a process start
// more each, so it is done in runs of their own.
func (n *network) watch(on bool) error {
	for _, name := range append(chain, ipam) {
		target := filepath.Join(n.stock, name)
		if on && name != ipam {
			target = n.timer
		}
		link := filepath.Join(n.plugins, name)
		_ = os.Remove(link) // may be missing
		if err := os.Symlink(target, link); err != nil {
			return err
		}
	}
	_ = os.Remove(n.log)
	return nil
}

// spent returns how long the plugins took to attach each pod of which the log
// tells, in milliseconds.
func (n *network) spent() ([]float64, error) {
	text, err := os.ReadFile(n.log)
	if err != nil {
		return nil, fmt.Errorf("no plugin was timed: %w", err)
	}
	return parsePluginLog(string(text))
}

// parsePluginLog sums up the lines of timedplugin, "ADD ID PLUGIN NANOSECONDS",
// by the id of the pod.
func parsePluginLog(text string) ([]float64, error) {
	var ids []string
	took := map[string]float64{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) != 4 {
			return nil, fmt.Errorf("line %q of the plugins' log: %d fields, want 4", line, len(fields))
		}
		ns, err := strconv.ParseInt(fields[3], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("line %q of the plugins' log: %w", line, err)
		}
		if fields[0] != "ADD" {
			continue
		}
		if _, seen := took[fields[1]]; !seen {
			ids = append(ids, fields[1])
		}
		took[fields[1]] += ms(time.Duration(ns))
	}
	values := make([]float64, len(ids))
	for i, id := range ids {
		values[i] = took[id]
	}
	return values, nil
}

// build builds a program of this repository.
func build(ctx context.Context, path, pkg string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w:\n%s", pkg, err, out)
	}
	return nil
}

// inNetworkOf calls f, which starts a process, in the network namespace open as
// a file.
func inNetworkOf(namespace *os.File, f func() error) (err error) {
	kernel.OnThread(func() {
		if err = kernel.Setns(int(namespace.Fd()), unix.CLONE_NEWNET, "network of the daemon"); err == nil {
			err = f()
		}
	})
	return err
}

// inNewNetwork calls f, which starts a process, in a network namespace that
// ends with it.
func inNewNetwork(f func() error) (err error) {
	kernel.OnThread(func() {
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			err = fmt.Errorf("make a network namespace: %w", err)
		} else if err = kernel.SetLinkUp("lo"); err == nil {
			err = f()
		}
	})
	return err
}
