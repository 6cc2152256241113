// SPDX-License-Identifier: Apache-2.0

package bandwidth

import (
	"context"
	"errors"
	"fmt"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"
	"github.com/vishvananda/netlink"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/netif"
)

// Config is what a Plugin needs.
type Config struct {
	Host *netif.Namespace
}

// Plugin limits bandwidth.
type Plugin struct {
	host   *netif.Namespace
	reaper *reaper
}

var _ cniplugin.Versioned = (*Plugin)(nil)

// New makes the plugin. Close ends what it does in the background: first of all, deleting what an earlier daemon left to be deleted.
func New(c Config) *Plugin {
	p := &Plugin{host: c.Host, reaper: &reaper{host: c.Host}}
	p.reaper.wake()
	return p
}

// Close waits until all devices that DEL was called for are deleted. Calls after it delete while they are waited for.
func (p *Plugin) Close() error { return p.reaper.close() }

// Versions implements cniplugin.Versioned.
func (p *Plugin) Versions() version.PluginInfo { return version.VersionsStartingFrom("0.3.0") }

// Add implements cniplugin.Plugin.
func (p *Plugin) Add(ctx context.Context, c *cniplugin.Call) (types.Result, error) {
	conf, err := parse(c)
	if err != nil {
		return nil, err
	}
	if conf.previous == nil {
		return nil, errors.New("must be called as chained plugin")
	}
	wanted := conf.wanted()
	if wanted == (Limits{}) {
		return conf.previous, nil
	}
	host, err := p.hostEnd(c, conf.previous.Interfaces)
	if err != nil {
		return nil, err
	}
	var undo []func() error
	if b := wanted.ingress(); b.rate > 0 {
		if err := p.addBucket(host.Attrs().Index, b); err != nil {
			return nil, fmt.Errorf("create qdisc: %w", err)
		}
		undo = append(undo, func() error { return p.host.QdiscDel(b.qdisc(host.Attrs().Index)) })
	}
	if b := wanted.egress(); b.rate > 0 {
		ifb, err := p.redirect(ctx, host, deviceName(conf.Name, c.ContainerID), b)
		if err != nil {
			return nil, undone(err, undo)
		}
		conf.previous.Interfaces = append(conf.previous.Interfaces,
			&types100.Interface{Name: ifb.Attrs().Name, Mac: ifb.Attrs().HardwareAddr.String()})
	}
	return conf.previous, nil
}

// undone calls undo, last first, and adds its errors to err.
func undone(err error, undo []func() error) error {
	for i := len(undo) - 1; i >= 0; i-- {
		err = errors.Join(err, undo[i]())
	}
	return err
}

// hostEnd finds the other end of the pod's veth pair: among the interfaces of the result, and by its index.
func (p *Plugin) hostEnd(c *cniplugin.Call, interfaces []*types100.Interface) (netlink.Link, error) {
	if len(interfaces) == 0 {
		return nil, errors.New("no interfaces provided")
	}
	ns, err := netif.Open(c.NetNS)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	inside, err := ns.LinkByName(c.IfName)
	if err != nil {
		return nil, fmt.Errorf("container interface %s has no veth peer: %w", c.IfName, err)
	}
	peer := inside.Attrs().ParentIndex
	if inside.Type() != "veth" || peer <= 0 {
		return nil, fmt.Errorf("container interface %s has no veth peer: it is of type %s", c.IfName, inside.Type())
	}
	host, err := p.host.LinkByIndex(peer)
	if err != nil {
		return nil, fmt.Errorf("veth peer with index %d is not in host ns: %w", peer, err)
	}
	for _, i := range interfaces {
		if i != nil && i.Sandbox == "" && i.Name == host.Attrs().Name {
			return host, nil
		}
	}
	return nil, errors.New("no veth peer of container interface found in host ns")
}

// Del implements cniplugin.Plugin. What is on the veth goes with it.
func (p *Plugin) Del(ctx context.Context, c *cniplugin.Call) error {
	conf, err := parse(c)
	if err != nil {
		return err
	}
	return p.reaper.remove(ctx, deviceName(conf.Name, c.ContainerID))
}

// Check implements cniplugin.Plugin.
func (p *Plugin) Check(_ context.Context, c *cniplugin.Call) error {
	conf, err := parse(c)
	if err != nil {
		return err
	}
	if conf.previous == nil {
		return errors.New("must be called as a chained plugin")
	}
	host, err := p.hostEnd(c, conf.previous.Interfaces)
	if err != nil {
		return err
	}
	if b := conf.wanted().ingress(); b.rate > 0 {
		if err := p.checkBucket(host, b); err != nil {
			return err
		}
	}
	b := conf.wanted().egress()
	if b.rate == 0 {
		return nil
	}
	ifb, err := p.host.LinkByName(deviceName(conf.Name, c.ContainerID))
	if err != nil {
		return fmt.Errorf("get ifb device: %w", err)
	}
	return p.checkBucket(ifb, b)
}

// Status implements cniplugin.Plugin: there is nothing that could be missing.
func (p *Plugin) Status(context.Context, *cniplugin.Call) error { return nil }

// GC implements cniplugin.Plugin. The name of a device does not tell its network, so none is deleted.
func (p *Plugin) GC(context.Context, *cniplugin.Call) error { return nil }
