// SPDX-License-Identifier: Apache-2.0

package hostlocal

import (
	"context"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/sardine-run/sardine/internal/cniplugin"
)

// Plugin is host-local. Its methods may be called concurrently, also beside the reference plugin's program.
type Plugin struct {
	networks networks
}

var _ cniplugin.Plugin = (*Plugin)(nil)

// New makes a Plugin. It has nothing to close.
func New() *Plugin { return &Plugin{} }

// Add implements cniplugin.Plugin: one address out of each set of ranges.
func (p *Plugin) Add(ctx context.Context, c *cniplugin.Call) (types.Result, error) {
	conf, err := load(c)
	if err != nil {
		return nil, err
	}
	who, err := holder(c)
	if err != nil {
		return nil, err
	}
	result := &current.Result{CNIVersion: current.ImplementedSpecVersion, Routes: conf.routes}
	if conf.resolvConf != "" {
		if result.DNS, err = resolvConf(conf.resolvConf); err != nil {
			return nil, failed(types.ErrIOFailure, "resolvConf cannot be read", err)
		}
	}
	err = p.networks.visit(ctx, conf.path, true, func(d *directory) error {
		result.IPs, err = allocate(ctx, d, who, conf)
		return err
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// Del implements cniplugin.Plugin. It needs no ranges: those in the configuration may have changed since ADD.
func (p *Plugin) Del(ctx context.Context, c *cniplugin.Call) error {
	path, err := loadPath(c.Config)
	if err != nil {
		return err
	}
	who, err := holder(c)
	if err != nil {
		return err
	}
	return p.networks.visit(ctx, path, false, func(d *directory) error { return d.releaseAll(ctx, who) })
}

// Check implements cniplugin.Plugin: some address is leased.
func (p *Plugin) Check(ctx context.Context, c *cniplugin.Call) error {
	conf, err := load(c)
	if err != nil {
		return err
	}
	who, err := holder(c)
	if err != nil {
		return err
	}
	found := false
	err = p.networks.visit(ctx, conf.path, false, func(d *directory) error {
		leases, err := d.held(ctx, who)
		found = len(leases) > 0
		return err
	})
	if err == nil && !found {
		err = refused("host-local: Failed to find address added by container %s", c.ContainerID)
	}
	return err
}

// GC implements cniplugin.Plugin: leases of other attachments than the valid ones are released, and so are files without
// content, which the reference plugin leaves behind when it is killed at the wrong moment.
func (p *Plugin) GC(ctx context.Context, c *cniplugin.Call) error {
	path, err := loadPath(c.Config)
	if err != nil {
		return err
	}
	valid, err := attachments(c.Config)
	if err != nil {
		return err
	}
	return p.networks.visit(ctx, path, false, func(d *directory) error { return d.collect(ctx, valid) })
}
