// SPDX-License-Identifier: Apache-2.0

package ptp

import (
	"context"
	"errors"
	"fmt"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/netif"
)

// Del implements cniplugin.Plugin. The addresses are given back when the host does not send their packets to this pod any more.
func (p *Plugin) Del(ctx context.Context, c *cniplugin.Call) error {
	conf, err := parse(c)
	if err != nil {
		return err
	}
	if err := c.Detach(&conf.Previous, p.turnAway); err != nil {
		return err
	}
	errs := []error{c.DelegateDel(ctx, conf.IPAM.Type)}
	if conf.IPMasq {
		errs = append(errs, p.masq.Del(ctx, nil, conf.Name, c.IfName, c.ContainerID))
	}
	return errors.Join(errs...)
}

// turnAway removes the host's routes to the pod. It is not done when the link is not surely this pod's.
func (p *Plugin) turnAway(previous *types100.Result, ns *netif.Namespace) (bool, error) {
	link, err := p.hostEnd(previous, ns)
	if err != nil || link == nil {
		return false, err
	}
	for _, ip := range previous.IPs {
		if ip == nil || !netif.WellFormed(&ip.Address) {
			return false, nil
		}
		if err := netif.Gone(p.host.RouteDel(hostRoute(link.Attrs().Index, ip))); err != nil {
			return false, fmt.Errorf("failed to delete route to %s: %w", ip.Address.IP, err)
		}
	}
	p.reaper.Later(link.Attrs().Index, link.Attrs().Name)
	return true, nil
}

// hostEnd finds among a result's interfaces the one whose other end is in ns.
func (p *Plugin) hostEnd(previous *types100.Result, ns *netif.Namespace) (netlink.Link, error) {
	id, err := p.host.GetNetNsIdByFd(ns.FD())
	if err != nil || id < 0 { // no link of the host has its other end there
		return nil, nil //nolint:nilerr // the slow way is right
	}
	for _, i := range previous.Interfaces {
		if i == nil || i.Sandbox != "" || i.Name == "" || len(i.Name) > maxName {
			continue
		}
		link, err := p.host.Find(i.Name)
		if err != nil {
			return nil, fmt.Errorf("failed to lookup %q: %w", i.Name, err)
		}
		if veth, ok := link.(*netlink.Veth); ok && veth.MasterIndex == 0 && veth.NetNsID == id {
			return link, nil
		}
	}
	return nil, nil
}

// maxName is the length of the longest name of an interface.
const maxName = 15

// clear deletes what a DEL has left to the kernel of an earlier attachment with the same name, whose namespace lives on: the
// host has no route to it.
func (a *attachment) clear() (deleted bool) {
	_ = a.ns.Do(func() error {
		pod, err := a.ns.LinkByName(a.call.IfName)
		if err != nil || pod.Type() != "veth" || pod.Attrs().ParentIndex <= 0 {
			return err
		}
		host, err := a.Plugin.host.LinkByIndex(pod.Attrs().ParentIndex)
		if err != nil || host.Attrs().ParentIndex != pod.Attrs().Index || !a.reaper.Waits(host.Attrs().Index, host.Attrs().Name) {
			return err
		}
		deleted = a.ns.LinkDel(pod) == nil
		return nil
	})
	return deleted
}
