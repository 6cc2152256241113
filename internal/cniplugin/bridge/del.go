// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"errors"
	"fmt"
	"net"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/netif"
)

// Del implements cniplugin.Plugin. Unlike the reference plugin it removes the packet filter's rules without the
// namespace too.
func (p *Plugin) Del(ctx context.Context, c *cniplugin.Call) error {
	conf, err := parse(c)
	if err != nil {
		return err
	}
	silence := func(previous *types100.Result, ns *netif.Namespace) (bool, error) {
		return p.silence(conf, previous, ns, c)
	}
	if err := c.Detach(&conf.Previous, silence); err != nil {
		return err
	}
	var errs []error
	if conf.layer3() {
		errs = append(errs, c.DelegateDel(ctx, conf.IPAM.Type))
	}
	if conf.MACSpoofCheck {
		errs = append(errs, p.spoof.Del(ctx, "", "", reference(c)))
	}
	if conf.layer3() && conf.IPMasq {
		errs = append(errs, p.masq.Del(ctx, nil, conf.Name, c.IfName, c.ContainerID))
	}
	return errors.Join(errs...)
}

// silence makes the port of the pod's host end dead. It is not done when the kernel cannot do so, or the link is not
// surely this pod's.
func (p *Plugin) silence(conf *config, previous *types100.Result, ns *netif.Namespace, c *cniplugin.Call) (bool, error) {
	port, err := p.hostEnd(conf, previous, ns)
	if err != nil || port == nil || !port.Lockable {
		return false, err
	}
	link := port.Link.Attrs()
	if err := p.host.Silence(link.Index); err != nil {
		if netif.Gone(err) == nil {
			return true, nil
		}
		return false, fmt.Errorf("failed to silence %q: %w", link.Name, err)
	}
	if mac := podMAC(previous, c); mac != nil {
		if err := p.host.DropFDB(link.Index, mac); err != nil {
			return false, fmt.Errorf("failed to make the bridge forget %s: %w", mac, err)
		}
	}
	for _, ip := range previous.IPs {
		if ip != nil {
			_ = p.host.DropNeighbour(link.MasterIndex, ip.Address.IP) // Add does so again
		}
	}
	p.reaper.Later(link.Index, link.Name)
	return true, nil
}

// hostEnd finds among a result's interfaces the port of a bridge whose other end is in ns.
func (p *Plugin) hostEnd(conf *config, previous *types100.Result, ns *netif.Namespace) (*netif.PortState, error) {
	id, err := p.host.GetNetNsIdByFd(ns.FD())
	if err != nil || id < 0 { // no link of the host has its other end there
		return nil, nil //nolint:nilerr // the slow way is right
	}
	for _, i := range previous.Interfaces {
		if i == nil || i.Sandbox != "" || i.Name == "" || i.Name == conf.Bridge || len(i.Name) > maxName {
			continue
		}
		port, err := p.host.FindPort(i.Name)
		if err != nil {
			return nil, fmt.Errorf("failed to lookup %q: %w", i.Name, err)
		}
		if port == nil {
			continue
		}
		_, veth := port.Link.(*netlink.Veth)
		if link := port.Link.Attrs(); veth && link.MasterIndex > 0 && link.NetNsID == id {
			return port, nil
		}
	}
	return nil, nil
}

// maxName is the length of the longest name of an interface.
const maxName = 15

// podMAC is what ADD has told of the pod's end.
func podMAC(previous *types100.Result, c *cniplugin.Call) net.HardwareAddr {
	for _, i := range previous.Interfaces {
		if i != nil && i.Name == c.IfName && i.Sandbox != "" {
			if mac, err := net.ParseMAC(i.Mac); err == nil && len(mac) == 6 {
				return mac
			}
		}
	}
	return nil
}
