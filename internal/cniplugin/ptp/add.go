// SPDX-License-Identifier: Apache-2.0

package ptp

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/netif"
)

// containerInterface is the pod's end among a result's interfaces.
const containerInterface = 1

// attachment is an ADD on its way.
type attachment struct {
	*Plugin
	call   *cniplugin.Call
	conf   *config
	result *types100.Result
	undo   cniplugin.Undo

	ns        *netif.Namespace // of the pod
	host, pod netlink.Link
	mac       net.HardwareAddr // of the pod's end
}

// Add implements cniplugin.Plugin.
func (p *Plugin) Add(ctx context.Context, c *cniplugin.Call) (_ types.Result, err error) {
	a := &attachment{Plugin: p, call: c}
	if a.conf, err = parseAdd(c); err != nil {
		return nil, err
	}
	if a.ns, err = netif.OpenLater(c.NetNS); err != nil {
		return nil, fmt.Errorf("failed to open netns %q: %w", c.NetNS, err)
	}
	defer a.ns.Close()
	defer func() {
		if err != nil {
			err = a.undo.Run(ctx, err)
		}
	}()
	for _, step := range []func(context.Context) error{a.allocate, a.forward, a.makePair, a.configurePod, a.configureHost, a.settle, a.masquerade} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	if d := a.conf.DNS; d.Nameservers != nil || d.Search != nil || d.Options != nil || d.Domain != "" {
		a.result.DNS = d
	}
	return a.result, nil
}

// allocate gets addresses from the IPAM plugin.
func (a *attachment) allocate(ctx context.Context) error {
	r, err := a.call.DelegateAdd(ctx, a.conf.IPAM.Type)
	if err != nil {
		return err
	}
	a.undo.Add(func(ctx context.Context) error { return a.call.DelegateDel(ctx, a.conf.IPAM.Type) })
	if a.result, err = types100.NewResultFromResult(r); err != nil {
		return err
	}
	if len(a.result.IPs) == 0 {
		return errors.New("IPAM plugin returned missing IP config")
	}
	for _, ip := range a.result.IPs {
		if ip == nil || !netif.WellFormed(&ip.Address) {
			return errors.New("IPAM plugin returned an address that is none")
		}
		if (ip.Gateway.To4() == nil) != (ip.Address.IP.To4() == nil) || ip.Gateway.To16() == nil {
			return fmt.Errorf("IPAM plugin returned %s without a gateway of its family", ip.Address.String())
		}
		ip.Interface = types100.Int(containerInterface)
	}
	for _, r := range a.result.Routes {
		if r == nil || !netif.WellFormed(&r.Dst) {
			return errors.New("IPAM plugin returned a route without destination")
		}
	}
	return nil
}

// forward makes the host forward packets of the families that the pod has.
func (a *attachment) forward(context.Context) error {
	var v4 bool
	for _, ip := range a.result.IPs {
		v4 = v4 || ip.Address.IP.To4() != nil
	}
	err := a.Plugin.host.Do(func() (err error) {
		if v4 {
			err = a.sysctls.Ensure("net/ipv4/ip_forward", "1")
		}
		if err == nil && netif.HasIPv6(a.result.IPs) {
			err = a.sysctls.Ensure("net/ipv6/conf/all/forwarding", "1")
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("Could not enable IP forwarding: %w", err) //nolint:staticcheck // the reference plugin's words
	}
	return nil
}

// makePair makes both ends, down. A pair that a DEL has left to the kernel is deleted first.
func (a *attachment) makePair(context.Context) error {
	hostMAC := netif.RandomMAC()
	a.mac = netif.RandomMAC()
	cleared := false
	for range 10 {
		name := netif.RandomVeth()
		link, err := a.Plugin.host.AddVeth(&netif.Veth{Name: name, MAC: hostMAC, MTU: a.conf.mtu(), TxQLen: 0,
			Peer: netif.Peer{Name: a.call.IfName, MAC: a.mac, Namespace: a.ns}})
		if err == nil {
			a.made(link, hostMAC)
			return nil
		}
		if !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("failed to make veth pair: %w", err)
		}
		if there, err := a.Plugin.host.Find(name); err != nil || there != nil {
			continue // the random name is taken
		}
		if cleared || !a.clear() {
			return fmt.Errorf("container veth name (%q) peer provided (%q) already exists", a.call.IfName, name)
		}
		cleared = true
	}
	return errors.New("failed to find a unique veth name")
}

func (a *attachment) made(link netlink.Link, hostMAC net.HardwareAddr) {
	a.host = link
	a.undo.Add(func(context.Context) error { return netif.Gone(a.Plugin.host.LinkDel(link)) })
	attributes := netlink.NewLinkAttrs()
	attributes.Name, attributes.Index = a.call.IfName, link.Attrs().ParentIndex
	a.pod = &netlink.Device{LinkAttrs: attributes}
	name := link.Attrs().Name
	// A kernel without IPv6 has no such sysctl.
	_ = a.Plugin.host.Do(func() error { return a.sysctls.Write("net/ipv6/conf/"+name+"/accept_ra", "0") })
	a.result.Interfaces = []*types100.Interface{
		{Name: name, Mac: hostMAC.String()},
		{Name: a.call.IfName, Mac: a.mac.String(), Sandbox: a.call.NetNS},
	}
}

func (a *attachment) masquerade(ctx context.Context) error {
	if !a.conf.IPMasq {
		return nil
	}
	backend, err := a.conf.backend()
	if err != nil {
		return err
	}
	var nets []*net.IPNet
	for _, ip := range a.result.IPs {
		nets = append(nets, &ip.Address)
	}
	a.undo.Add(func(ctx context.Context) error {
		return a.masq.Del(ctx, nets, a.conf.Name, a.call.IfName, a.call.ContainerID)
	})
	return a.masq.Add(ctx, backend, nets, a.conf.Name, a.call.IfName, a.call.ContainerID)
}
