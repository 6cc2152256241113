// SPDX-License-Identifier: Apache-2.0

package portmap

import (
	"context"
	"errors"
	"fmt"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/iptables"
	"github.com/sardine-run/sardine/internal/netif"
	"github.com/sardine-run/sardine/internal/nft"
)

// Config is what the plugin works with.
type Config struct {
	Host   *netif.Namespace
	Tables *nft.Tables
}

// Plugin implements cniplugin.Plugin.
type Plugin struct {
	host     *netif.Namespace
	tables   *nft.Tables
	programs *iptables.Programs
}

var _ cniplugin.Plugin = (*Plugin)(nil)

// New makes the plugin. What c has stays the caller's.
func New(c Config) *Plugin {
	return &Plugin{host: c.Host, tables: c.Tables, programs: iptables.New(c.Tables)}
}

// Add implements cniplugin.Plugin.
func (p *Plugin) Add(ctx context.Context, call *cniplugin.Call) (types.Result, error) {
	c, err := parse(call.Config, call.IfName, call.ContainerID)
	if err != nil {
		return nil, fmt.Errorf("failed to parse config: %w", err)
	}
	if c.result == nil {
		return nil, errors.New("must be called as chained plugin")
	}
	if len(c.RuntimeConfig.Mappings) == 0 {
		return c.result, nil
	}
	add, err := p.adder(ctx, c)
	if err != nil {
		return nil, err
	}
	rules, err := portRules(c)
	if err != nil {
		return nil, err
	}
	if err = add(ctx, c, rules); err == nil {
		err = p.settle(ctx, c)
	}
	if err != nil {
		return nil, errors.Join(err, p.remove(context.WithoutCancel(ctx), c))
	}
	return c.result, nil
}

// adder picks the backend, before any side effect.
func (p *Plugin) adder(ctx context.Context, c *config) (func(context.Context, *config, []portRule) error, error) {
	backend := c.wanted()
	if backend == "" {
		backend = backendNFTables
		if err := p.tables.Available(ctx); errors.Is(err, nft.ErrUnsupported) {
			backend = backendIPTables
		}
	}
	if backend == backendIPTables {
		return p.addIPTables, nil
	}
	if c.conditional() {
		return nil, fmt.Errorf("conditions in the syntax of nft: %w", cniplugin.ErrDeclined)
	}
	return p.addNFTables, nil
}

// settle does what has to be done beside rules.
func (p *Plugin) settle(ctx context.Context, c *config) error {
	p.forgetConnections(ctx, c)
	if c.snat() && c.ip4 != nil {
		if err := p.routeLocalnet(c.ip4.IP); err != nil {
			return fmt.Errorf("unable to enable route_localnet: %w", err)
		}
	}
	return ctx.Err()
}

// Del implements cniplugin.Plugin. Rules of either backend are deleted, also those of the reference plugin.
func (p *Plugin) Del(ctx context.Context, call *cniplugin.Call) error {
	c, err := parse(call.Config, call.IfName, call.ContainerID)
	if err != nil {
		return fmt.Errorf("failed to parse config: %w", err)
	}
	if len(c.RuntimeConfig.Mappings) == 0 {
		return nil
	}
	return p.remove(ctx, c)
}

func (p *Plugin) remove(ctx context.Context, c *config) error {
	found, err := p.delNFTables(ctx, c)
	if errors.Is(err, nft.ErrUnsupported) {
		err = nil
	}
	// What was attached with nftables has nothing in iptables-legacy, whose tables cannot be looked into without a program.
	return errors.Join(err, p.delIPTables(ctx, c, found == 0 || c.wanted() == backendIPTables))
}

// Check implements cniplugin.Plugin.
func (p *Plugin) Check(ctx context.Context, call *cniplugin.Call) error {
	c, err := parse(call.Config, call.IfName, call.ContainerID)
	if err != nil {
		return err
	}
	if c.result == nil {
		return errors.New("Required prevResult missing") //nolint:staticcheck // the reference plugin's words
	}
	if len(c.RuntimeConfig.Mappings) == 0 {
		return nil
	}
	switch c.wanted() {
	case backendIPTables:
		return p.checkIPTables(ctx, c)
	case backendNFTables:
		return p.checkNFTables(ctx, c)
	}
	return p.checkEither(ctx, c)
}

// checkEither is for pods that may have been attached by the reference plugin, whose default is another.
func (p *Plugin) checkEither(ctx context.Context, c *config) error {
	err := p.checkNFTables(ctx, c)
	if err == nil {
		return nil
	}
	if !errors.Is(err, nft.ErrUnsupported) {
		if has, programErr := p.hasIPTables(ctx, c); programErr != nil || !has {
			return errors.Join(err, programErr)
		}
	}
	return p.checkIPTables(ctx, c)
}

// Status implements cniplugin.Plugin.
func (p *Plugin) Status(ctx context.Context, call *cniplugin.Call) error {
	c, err := parse(call.Config, call.IfName, call.ContainerID)
	if err != nil {
		return fmt.Errorf("failed to parse config: %w", err)
	}
	backend := c.wanted()
	if backend != backendIPTables {
		err := p.tables.Available(ctx)
		if err == nil || !errors.Is(err, nft.ErrUnsupported) || backend == backendNFTables {
			return notAvailable(err)
		}
	}
	_, err = p.programs.Default(ctx, false)
	return notAvailable(err)
}

// notAvailable is what the specification wants STATUS to say when ADD would fail.
func notAvailable(err error) error {
	if err == nil {
		return nil
	}
	return types.NewError(types.ErrPluginNotAvailable, "ports cannot be mapped", err.Error())
}

// GC implements cniplugin.Plugin. There is nothing to do: rules tell their container but not its network, as the reference
// plugin has it, so nobody can tell that they belong to no attachment.
func (p *Plugin) GC(context.Context, *cniplugin.Call) error { return nil }
