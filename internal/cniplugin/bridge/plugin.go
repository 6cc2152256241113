// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"errors"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/netif"
)

// Spoof is of macspoof.Filter what the plugin needs.
type Spoof interface {
	Add(ctx context.Context, ifName, mac, refID string) error
	Del(ctx context.Context, ifName, mac, refID string) error
}

// Config is what a Plugin needs. It stays the caller's.
type Config struct {
	Host       *netif.Namespace
	Masquerade cniplugin.Masquerade
	Spoof      Spoof
	Reaper     *netif.Reaper
}

// Plugin attaches pods to bridges. It holds nothing between calls that the kernel does not.
type Plugin struct {
	host    *netif.Namespace
	masq    cniplugin.Masquerade
	spoof   Spoof
	reaper  *netif.Reaper
	sysctls *netif.Sysctls
}

var _ cniplugin.Plugin = (*Plugin)(nil)

// New makes the plugin.
func New(c Config) *Plugin {
	return &Plugin{host: c.Host, masq: c.Masquerade, spoof: c.Spoof, reaper: c.Reaper, sysctls: &netif.Sysctls{}}
}

// Close implements io.Closer.
func (p *Plugin) Close() error {
	p.sysctls.Close()
	return nil
}

// Status implements cniplugin.Plugin.
func (p *Plugin) Status(ctx context.Context, c *cniplugin.Call) error {
	conf, err := parseAdd(c)
	if err != nil {
		return err
	}
	if !conf.layer3() {
		return nil
	}
	return c.DelegateStatus(ctx, conf.IPAM.Type)
}

// GC implements cniplugin.Plugin. Links need none: they end with their pods.
func (p *Plugin) GC(ctx context.Context, c *cniplugin.Call) error {
	conf, err := parse(c)
	if err != nil {
		return err
	}
	var errs []error
	if conf.layer3() {
		errs = append(errs, c.DelegateGC(ctx, conf.IPAM.Type))
	}
	if conf.IPMasq && conf.layer3() {
		errs = append(errs, p.masq.GC(ctx, conf.Name, conf.Attachments))
	}
	return errors.Join(errs...)
}

// reference names what belongs to an attachment in the packet filter.
func reference(c *cniplugin.Call) string { return c.ContainerID + "-" + c.IfName }
