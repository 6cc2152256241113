// SPDX-License-Identifier: Apache-2.0

package criplugin

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/log"
	"github.com/containerd/plugin"

	"github.com/sardine-run/sardine/internal/cniplugin/builtin"
	"github.com/sardine-run/sardine/internal/network"
)

// Type and id of the plugin whose section in the configuration file is about the network of pods.
const (
	sardineType plugin.Type = "io.containerd.sardine.v1"
	networkID   string      = "network"
)

var networkURI = uri(sardineType, networkID)

// networkSettings are the section plugins."io.containerd.sardine.v1.network".
type networkSettings struct {
	// InProcess has CNI plugins run inside the daemon, those that it knows. Otherwise all are executed.
	InProcess bool `toml:"in_process"`
	// DefaultNetwork gives pods a network while none is configured.
	DefaultNetwork bool `toml:"default_network"`
	// NamespacePool is how many network namespaces are made ahead of the pods that need them.
	NamespacePool int `toml:"namespace_pool"`
}

// maxNamespacePool bounds what is kept ready: a namespace takes about 100 KB of the kernel's memory.
const maxNamespacePool = 256

func defaultNetworkSettings() *networkSettings {
	return &networkSettings{InProcess: true, NamespacePool: 4}
}

// networkRegistration has containerd read, print and migrate the section as one of its own. Its instance are the settings.
func networkRegistration() plugin.Registration {
	return plugin.Registration{Type: sardineType, ID: networkID, Config: defaultNetworkSettings(), InitFn: initNetwork}
}

func initNetwork(ic *plugin.InitContext) (any, error) {
	settings, ok := ic.Config.(*networkSettings)
	if !ok {
		return nil, fmt.Errorf("plugins.%q: configuration is a %T", networkURI, ic.Config)
	}
	if n := settings.NamespacePool; n < 0 || n > maxNamespacePool {
		ic.RegisterReadiness() // containerd ends when such a plugin fails, instead of going on without pods
		return nil, fmt.Errorf("plugins.%q.namespace_pool: %d is not between 0 and %d", networkURI, n, maxNamespacePool)
	}
	return settings, nil
}

func (b *builder) findNetworkSettings() error {
	instance, err := b.ic.GetByID(sardineType, networkID)
	if err != nil {
		return err
	}
	settings, ok := instance.(*networkSettings)
	if !ok {
		return fmt.Errorf("plugin %s is a %T", networkURI, instance)
	}
	b.network = settings
	return nil
}

func networkDir(ic *plugin.InitContext) string { return filepath.Join(stateDir(ic), "network") }

func (b *builder) openNetworks() (err error) {
	cfg := b.settings.CNI
	cfg.StateDir, cfg.CacheDir = networkDir(b.ic), filepath.Join(rootDir(b.ic), "cni")
	cfg.DefaultNetwork = b.network.DefaultNetwork
	cfg.Handlers = map[string]network.Handler{}
	for name, h := range b.settings.Containerd.Runtimes {
		if h.NetworkPluginConfDir != "" && !slices.Contains(b.shims, name) {
			cfg.Handlers[name] = network.Handler{ConfDir: h.NetworkPluginConfDir, MaxConfNum: h.NetworkPluginMaxConfNum}
		}
	}
	b.openCNIPlugins(&cfg)
	if b.networks, err = network.New(cfg); err != nil {
		return err
	}
	b.onClose(b.networks.Close)
	return nil
}

// openCNIPlugins has the plugins run inside the daemon, unless the configuration or the kernel says otherwise.
func (b *builder) openCNIPlugins(cfg *network.Config) {
	if !b.network.InProcess {
		log.L.WithField("in_process", false).Info("cni: all plugins are executed")
		return
	}
	all, err := builtin.New()
	if err != nil {
		log.L.WithError(err).WithField("in_process", false).Warn("cni: no plugin can run inside the daemon, all are executed")
		return
	}
	b.onClose(all.Close)
	cfg.Plugins = all.Set
	log.L.WithField("in_process", true).WithField("types", strings.Join(all.Types(), " ")).Info("cni: plugins that run inside the daemon")
}
