// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/netif"
)

// attachment is an ADD on its way.
type attachment struct {
	*Plugin
	call     *cniplugin.Call
	conf     *config
	backend  string
	br       *netlink.Bridge
	pair     *pair
	result   *types100.Result
	gateways *gateways
	near     int // index of the host's link whose neighbour the pod is
	undo     cniplugin.Undo
}

// Add implements cniplugin.Plugin.
func (p *Plugin) Add(ctx context.Context, c *cniplugin.Call) (_ types.Result, err error) {
	a := &attachment{Plugin: p, call: c, result: &types100.Result{CNIVersion: types100.ImplementedSpecVersion}}
	if a.conf, err = parseAdd(c); err != nil {
		return nil, err
	}
	if a.backend, err = a.conf.backend(); err != nil && a.conf.IPMasq {
		return nil, err
	}
	ns, err := netif.OpenLater(c.NetNS)
	if err != nil {
		return nil, fmt.Errorf("failed to open netns %q: %w", c.NetNS, err)
	}
	defer ns.Close()
	defer func() {
		if err != nil {
			err = a.rollback(ctx, err)
		}
	}()
	if a.br, err = p.ensureBridge(a.conf); err != nil {
		return nil, err
	}
	if err := a.begin(ctx, ns); err != nil {
		return nil, err
	}
	if err := a.attach(ctx); err != nil {
		return nil, err
	}
	return a.complete(ctx)
}

// begin makes the pair and gets the addresses. Both take as long as the other, and are done at the same time where the IPAM plugin does
// not use the interface.
func (a *attachment) begin(ctx context.Context, ns *netif.Namespace) error {
	if !derivable(a.conf.IPAM.Type) {
		if err := a.makeLink(ns); err != nil || !a.conf.layer3() {
			return err
		}
		return a.allocate(ctx)
	}
	made := cniplugin.Beside(func() error { return a.makeLink(ns) })
	allocated := a.allocate(ctx)
	return cmp.Or(made(), allocated)
}

// rollback undoes. The pair, which is made while the address is asked for, goes before the address is another's.
func (a *attachment) rollback(ctx context.Context, why error) error {
	if a.pair != nil && a.pair.host != nil {
		a.undo.Add(func(context.Context) error { return netif.Gone(a.host.LinkDel(a.pair.host)) })
	}
	return a.undo.Run(ctx, why)
}

func (a *attachment) makeLink(ns *netif.Namespace) error {
	mac := a.conf.mac
	if mac == nil {
		mac = netif.RandomMAC()
	}
	a.pair = &pair{ifName: a.call.IfName, mtu: a.conf.mtu(), mac: mac, namespace: ns}
	return a.makePair(a.pair)
}

// attach does what depends on addresses, and what does not where there are none.
func (a *attachment) attach(ctx context.Context) error {
	if a.conf.layer3() {
		return a.attach3(ctx)
	}
	if err := a.filter(ctx); err != nil {
		return err
	}
	if err := a.joinBridge(); err != nil || a.conf.DisableContainerInterface {
		return err
	}
	if err := a.pair.namespace.Do(func() error {
		return a.pair.namespace.SetLink(a.pair.pod.Attrs().Index, netif.Change{Up: true})
	}); err != nil {
		return fmt.Errorf("failed to set %q up: %w", a.call.IfName, err)
	}
	return nil
}

// filter drops frames with a forged source address.
func (a *attachment) filter(ctx context.Context) error {
	if !a.conf.MACSpoofCheck {
		return nil
	}
	id := reference(a.call)
	a.undo.Add(func(ctx context.Context) error { return a.spoof.Del(ctx, "", "", id) })
	return a.spoof.Add(ctx, a.pair.host.Attrs().Name, a.pair.mac.String(), id)
}

func (a *attachment) joinBridge() error {
	return a.join(a.br, a.pair.host, netif.Port{Hairpin: a.conf.HairpinMode, Isolated: a.conf.PortIsolation}, a.conf.portVLANs())
}

// attach3 has the packet filter masquerade while the link is set up: neither needs the other, and with a thousand pods the filter takes as long.
func (a *attachment) attach3(ctx context.Context) error {
	derived := a.conf.mac == nil && derivable(a.conf.IPAM.Type)
	if derived {
		a.pair.mac = derive(a.result.IPs)
	}
	if err := a.filter(ctx); err != nil {
		return err
	}
	masqueraded := cniplugin.Beside(a.masquerade(ctx))
	connected := a.connect(ctx)
	if err := cmp.Or(connected, masqueraded()); err != nil || derived {
		return err
	}
	return a.announceAddresses(ctx)
}

// connect gives the pod its addresses and routes, and the bridge a port.
func (a *attachment) connect(ctx context.Context) error {
	gateway, err := a.openGateways(a.br, a.conf, a.gateways)
	if err != nil {
		return err
	}
	if a.near = gateway.Attrs().Index; a.near != a.br.Index {
		a.result.Interfaces = append(a.result.Interfaces, &types100.Interface{Name: gateway.Attrs().Name, Mac: gateway.Attrs().HardwareAddr.String()})
	}
	_, settles := netif.Gateways(a.result.IPs)
	if err := a.pair.namespace.Do(func() error { return a.configure(settles == nil) }); err != nil {
		return err
	}
	if err := a.joinBridge(); err != nil {
		return err
	}
	if settles != nil {
		return a.settle(ctx)
	}
	return nil
}

// allocate gets addresses from the IPAM plugin.
func (a *attachment) allocate(ctx context.Context) error {
	r, err := a.call.DelegateAdd(ctx, a.conf.IPAM.Type)
	if err != nil {
		return err
	}
	a.undo.Add(func(ctx context.Context) error { return a.call.DelegateDel(ctx, a.conf.IPAM.Type) })
	ipam, err := types100.NewResultFromResult(r)
	if err != nil {
		return err
	}
	a.result.IPs, a.result.Routes, a.result.DNS = ipam.IPs, ipam.Routes, ipam.DNS
	if len(a.result.IPs) == 0 {
		return errors.New("IPAM plugin returned missing IP config")
	}
	a.gateways, err = completeResult(a.result, a.conf)
	return err
}

// configure runs on a thread in the pod's namespace. The link has no carrier yet.
func (a *attachment) configure(routes bool) error {
	a.writeSysctls()
	if netif.HasIPv6(a.result.IPs) {
		if err := a.sysctls.EnableIPv6(a.call.IfName); err != nil {
			return err
		}
	} else {
		// Nobody can use the address that the kernel would make up, and what it says about it goes to every port of the bridge, five times
		// in the first seconds: of a thousand pods each would take the node 20 ms. The plugin tuning can switch it on.
		_ = a.sysctls.Write("net/ipv6/conf/"+a.call.IfName+"/disable_ipv6", "1")
	}
	ns, link := a.pair.namespace, a.pair.pod
	if err := ns.AddAddresses(link, a.result.IPs); err != nil {
		return err
	}
	if err := ns.SetLink(link.Attrs().Index, netif.Change{MAC: a.pair.mac, Up: true}); err != nil {
		return fmt.Errorf("failed to set %q UP: %w", a.call.IfName, err)
	}
	if !routes {
		return nil
	}
	return ns.AddRoutes(link, a.result)
}

// writeSysctls sets what a kernel without IPv6 does not have.
func (a *attachment) writeSysctls() {
	v6, dad := "net/ipv6/conf/"+a.call.IfName, "0"
	if a.conf.EnableDAD {
		_ = a.sysctls.Write(v6+"/enhanced_dad", "1")
		dad = "1"
	}
	_ = a.sysctls.Write(v6+"/accept_dad", dad)
	_ = a.sysctls.Write("net/ipv4/conf/"+a.call.IfName+"/arp_notify", "1")
}

// settle waits for the addresses of IPv6 before there are routes by them.
func (a *attachment) settle(ctx context.Context) error {
	if err := a.pair.namespace.Settle(ctx, a.pair.pod); err != nil {
		return fmt.Errorf("failed to settle addresses for %q: %w", a.call.IfName, err)
	}
	return a.pair.namespace.AddRoutes(a.pair.pod, a.result)
}

// masquerade returns what adds the rules. That they are deleted again is on the way back from here on.
func (a *attachment) masquerade(ctx context.Context) (add func() error) {
	if !a.conf.IPMasq {
		return func() error { return nil }
	}
	var nets []*net.IPNet
	for _, ip := range a.result.IPs {
		nets = append(nets, &ip.Address)
	}
	a.undo.Add(func(ctx context.Context) error {
		return a.masq.Del(ctx, nets, a.conf.Name, a.call.IfName, a.call.ContainerID)
	})
	return func() error { return a.masq.Add(ctx, a.backend, nets, a.conf.Name, a.call.IfName, a.call.ContainerID) }
}

// announceAddresses is for a hardware address that the last owner of the IP address did not have.
func (a *attachment) announceAddresses(ctx context.Context) error {
	if _, err := a.host.WaitUp(ctx, a.pair.host.Attrs().Index); err != nil {
		return err
	}
	if _, err := a.pair.namespace.WaitUp(ctx, a.pair.pod.Attrs().Index); err != nil {
		return err
	}
	return a.pair.announce()
}

// complete waits until the pod can be reached, and its first packet is let through, and tells what was done.
func (a *attachment) complete(ctx context.Context) (types.Result, error) {
	if !a.conf.DisableContainerInterface {
		if _, err := a.host.WaitUp(ctx, a.pair.host.Attrs().Index); err != nil {
			return nil, err
		}
		if _, err := a.pair.namespace.WaitUp(ctx, a.pair.pod.Attrs().Index); err != nil {
			return nil, err
		}
	}
	mac, err := a.bridgeMAC()
	if err != nil {
		return nil, err
	}
	for _, ip := range a.result.IPs { // that the last owner did not answer is no reason to wait
		_ = a.host.DropNeighbour(a.near, ip.Address.IP)
	}
	host, pod := a.pair.host.Attrs().Name, a.pair.pod.Attrs().Name
	a.result.Interfaces = append([]*types100.Interface{
		{Name: a.br.Name, Mac: mac.String()},
		{Name: host, Mac: a.pair.hostMAC.String()},
		{Name: pod, Mac: a.pair.mac.String(), Sandbox: a.call.NetNS},
	}, a.result.Interfaces...)
	if d := a.conf.DNS; d.Nameservers != nil || d.Search != nil || d.Options != nil || d.Domain != "" {
		a.result.DNS = d
	}
	return a.result, nil
}

// bridgeMAC looks at the bridge again where a port may have changed its address: the lowest of its ports' is the
// bridge's own until it is given one.
func (a *attachment) bridgeMAC() (net.HardwareAddr, error) {
	before := a.br.HardwareAddr
	if a.br.OperState == netlink.OperUp && bytes.Compare(before, a.pair.hostMAC) < 0 {
		return before, nil
	}
	br, err := a.findBridge(a.conf.Bridge)
	if err != nil || br == nil {
		return nil, errors.Join(err, fmt.Errorf("could not lookup %q", a.conf.Bridge))
	}
	if br.OperState == netlink.OperUnknown { // it has never been without a port since it is up
		err = a.host.SetLink(br.Index, netif.Change{Oper: netlink.OperUp})
	}
	return br.HardwareAddr, err
}
