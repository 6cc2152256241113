// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"context"
	"errors"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/netif"
)

// Config is what a Plugin needs.
type Config struct {
	Host *netif.Namespace
}

// Plugin lets pods through the host's firewall.
type Plugin struct {
	host     *netif.Namespace
	filters  map[*family]*filter
	programs programs
	bus      bus
}

var _ cniplugin.Versioned = (*Plugin)(nil)

// New makes the plugin.
func New(c Config) *Plugin {
	p := &Plugin{host: c.Host, filters: map[*family]*filter{}}
	for _, f := range families {
		p.filters[f] = newFilter(f, c.Host)
	}
	return p
}

// Close closes the connections to the kernel and to D-Bus. The next call opens them again.
func (p *Plugin) Close() error {
	return errors.Join(p.bus.close(), p.filters[ipv4].close(), p.filters[ipv6].close())
}

// Versions implements cniplugin.Versioned.
func (p *Plugin) Versions() version.PluginInfo { return version.VersionsStartingFrom("0.4.0") }

// onFirewalld chooses the backend.
func (p *Plugin) onFirewalld(ctx context.Context, conf *config) bool {
	switch conf.Backend {
	case "iptables":
		return false
	case "firewalld":
		return true
	}
	return p.bus.running(ctx)
}

// Add implements cniplugin.Plugin.
func (p *Plugin) Add(ctx context.Context, c *cniplugin.Call) (types.Result, error) {
	conf, err := parse(c)
	if err == nil {
		err = conf.complete()
	}
	if err == nil {
		err = conf.findBridge()
	}
	if err != nil {
		return nil, err
	}
	firewalld := p.onFirewalld(ctx, conf)
	var paths map[*family]string
	if !firewalld || conf.Policy != open {
		if paths, err = p.programs.find(ctx); err != nil {
			return nil, err
		}
	}
	if firewalld {
		if err := p.bus.add(ctx, conf.Zone, conf.addresses); err != nil {
			return nil, err
		}
	}
	if err := p.addRules(ctx, conf, firewalld, paths); err != nil {
		return nil, errors.Join(err, p.undo(ctx, conf, firewalld))
	}
	return conf.previous, nil
}

// planOf is what a family's table must have. Without an address of the family it is nothing.
func planOf(conf *config, f *family, firewalld bool) plan {
	addresses := conf.of(f)
	switch {
	case len(addresses) == 0:
		return plan{}
	case firewalld:
		return plan{ingress(conf.Policy, conf.bridge)}
	}
	return plan{base(conf.AdminChain, addresses), ingress(conf.Policy, conf.bridge)}
}

func (p *Plugin) addRules(ctx context.Context, conf *config, firewalld bool, paths map[*family]string) error {
	for _, f := range families {
		wanted := planOf(conf, f, firewalld)
		if len(wanted.rules()) == 0 {
			continue
		}
		if err := p.filters[f].ensure(ctx, wanted, restoring(p.host, paths[f])); err != nil {
			return err
		}
	}
	return nil
}

// undo removes what is the pod's, also when ctx has ended. Chains stay, as they do after DEL.
func (p *Plugin) undo(ctx context.Context, conf *config, firewalld bool) error {
	ctx = context.WithoutCancel(ctx)
	if firewalld {
		return p.bus.remove(ctx, conf.Zone, conf.addresses)
	}
	return p.removeRules(ctx, conf)
}

func (p *Plugin) removeRules(ctx context.Context, conf *config) error {
	var errs []error
	for _, f := range families {
		if addresses := conf.of(f); len(addresses) > 0 {
			errs = append(errs, p.filters[f].remove(ctx, addresses))
		}
	}
	return errors.Join(errs...)
}

// Del implements cniplugin.Plugin. Rules of the ingress policy stay: other pods of the bridge may need them.
func (p *Plugin) Del(ctx context.Context, c *cniplugin.Call) error {
	conf, err := parse(c)
	if err != nil {
		return err
	}
	if p.onFirewalld(ctx, conf) {
		return errors.Join(p.bus.remove(ctx, conf.Zone, conf.addresses), conf.knownPolicy())
	}
	if _, err := p.programs.find(ctx); err != nil {
		return err
	}
	return errors.Join(p.removeRules(ctx, conf), conf.knownPolicy())
}

// Check implements cniplugin.Plugin. Unlike the reference plugin it makes no chains.
func (p *Plugin) Check(ctx context.Context, c *cniplugin.Call) error {
	conf, err := parse(c)
	if err == nil {
		err = conf.complete()
	}
	if err != nil {
		return err
	}
	if p.onFirewalld(ctx, conf) {
		return p.bus.check(ctx, conf.Zone, conf.addresses)
	}
	if _, err := p.programs.find(ctx); err != nil {
		return err
	}
	for _, f := range families {
		if addresses := conf.of(f); len(addresses) > 0 {
			if err := p.filters[f].check(ctx, plan{base(conf.AdminChain, addresses)}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Status implements cniplugin.Plugin.
func (p *Plugin) Status(context.Context, *cniplugin.Call) error { return nil }

// GC implements cniplugin.Plugin. Rules do not say whose they are, so none is deleted.
func (p *Plugin) GC(context.Context, *cniplugin.Call) error { return nil }
