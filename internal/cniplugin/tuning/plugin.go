// SPDX-License-Identifier: Apache-2.0

package tuning

import (
	"context"
	"errors"
	"fmt"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/utils"
	"github.com/vishvananda/netlink"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/netif"
)

// Config is what a Plugin needs.
type Config struct {
	// Allowlist is the file with the regular expressions of sysctls that may be set, one a line. "" means
	// /etc/cni/tuning/allowlist.conf. Without the file every sysctl of the network may be set.
	Allowlist string
}

// Plugin tunes. It holds nothing between calls.
type Plugin struct {
	allowlist string
}

var _ cniplugin.Plugin = (*Plugin)(nil)

// New makes the plugin.
func New(c Config) *Plugin {
	p := &Plugin{allowlist: c.Allowlist}
	if p.allowlist == "" {
		p.allowlist = "/etc/cni/tuning/allowlist.conf"
	}
	return p
}

// Add implements cniplugin.Plugin.
func (p *Plugin) Add(ctx context.Context, c *cniplugin.Call) (types.Result, error) {
	conf, err := p.parseAdd(c)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	keys, err := sysctlPaths(conf.Sysctl, c.IfName)
	if err != nil {
		return nil, err
	}
	ns, err := netif.Open(c.NetNS)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	undo, err := setSysctls(ns, keys)
	if err != nil {
		return nil, err
	}
	if err := tuneLink(ns.Handle, conf, c); err != nil {
		return nil, errors.Join(err, undo())
	}
	return result(conf, c.IfName), nil
}

// parseAdd finds every error that can be found before anything is changed, in the reference plugin's order.
func (p *Plugin) parseAdd(c *cniplugin.Call) (*config, error) {
	conf, err := parse(c)
	if err != nil {
		return nil, err
	}
	if err := p.allowed(conf.Sysctl); err != nil {
		return nil, err
	}
	if err := names(c); err != nil {
		return nil, err
	}
	return conf, conf.parsePrevious()
}

// names checks what becomes part of a path.
func names(c *cniplugin.Call) error {
	if err := utils.ValidateContainerID(c.ContainerID); err != nil {
		return err
	}
	if err := utils.ValidateInterfaceName(c.IfName); err != nil {
		return err
	}
	return nil
}

// tuneLink changes the interface's attributes after saving what they were. On error they are as before.
func tuneLink(h *netlink.Handle, conf *config, c *cniplugin.Call) error {
	if !conf.wanted.any() {
		return nil
	}
	link, err := h.LinkByName(c.IfName)
	if err != nil {
		return fmt.Errorf("failed to get %q: %w", c.IfName, err)
	}
	file := savedFile(conf.DataDir, c)
	before := conf.wanted.before(link)
	if err := before.save(file); err != nil {
		return err
	}
	if err := conf.wanted.apply(h, link); err != nil {
		if back := before.apply(h, link); back != nil {
			return fmt.Errorf("%w (and not all of it was undone: %w)", err, back)
		}
		return errors.Join(err, remove(file))
	}
	return nil
}

// result is the previous one with the new hardware address.
func result(conf *config, ifName string) types.Result {
	for _, i := range conf.previous.Interfaces {
		if conf.wanted.Mac != "" && i != nil && i.Name == ifName {
			i.Mac = conf.wanted.Mac
		}
	}
	return conf.previous
}

// Del implements cniplugin.Plugin. That an interface is not given back as it was is no error: it may be gone.
func (p *Plugin) Del(_ context.Context, c *cniplugin.Call) error {
	conf, err := parse(c)
	if err != nil {
		return err
	}
	if err := names(c); err != nil {
		return err
	}
	file := savedFile(conf.DataDir, c)
	before, err := load(file)
	if err != nil {
		return nil // nothing was saved, or nothing that could be used
	}
	if c.NetNS != "" {
		if err := restore(c, before); err != nil {
			return nil // the next DEL tries again
		}
	}
	return remove(file)
}

// restore is nil also when namespace or interface are gone.
func restore(c *cniplugin.Call, before attributes) error {
	ns, err := netif.Open(c.NetNS)
	if err != nil {
		return nil //nolint:nilerr // no namespace, nothing to restore
	}
	defer ns.Close()
	link, err := ns.LinkByName(c.IfName)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return err
	}
	return before.apply(ns.Handle, link)
}

// Check implements cniplugin.Plugin.
func (p *Plugin) Check(_ context.Context, c *cniplugin.Call) error {
	conf, err := parse(c)
	if err != nil {
		return err
	}
	if err := conf.parsePrevious(); err != nil {
		return err
	}
	keys, err := sysctlPaths(conf.Sysctl, c.IfName)
	if err != nil {
		return err
	}
	ns, err := netif.Open(c.NetNS)
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := checkSysctls(ns, keys); err != nil {
		return err
	}
	link, err := ns.LinkByName(c.IfName)
	if err != nil {
		return fmt.Errorf("cannot find container link %v: %w", c.IfName, err)
	}
	return conf.wanted.check(link)
}

// Status implements cniplugin.Plugin: there is nothing that could be missing.
func (p *Plugin) Status(context.Context, *cniplugin.Call) error { return nil }

// GC implements cniplugin.Plugin. The files in dataDir do not say which network they belong to, so none is dropped.
func (p *Plugin) GC(context.Context, *cniplugin.Call) error { return nil }

// parsePrevious parses prevResult, which ADD and CHECK need.
func (c *config) parsePrevious() (err error) {
	c.previous, err = c.Result()
	if err == nil && c.previous == nil {
		err = errors.New("Required prevResult missing") //nolint:staticcheck // the reference plugin's words
	}
	return err
}
