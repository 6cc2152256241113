// SPDX-License-Identifier: Apache-2.0

package macvlan

import (
	"context"
	"errors"
	"fmt"

	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/netif"
)

// link is the pod's.
type link struct {
	index int
	name  string
	mac   string
}

// create makes the link in the pod's namespace.
func (p *Plugin) create(conf *config, pod *netif.Namespace, name string) (link, error) {
	from := p.host
	if conf.InContainer {
		from = pod
	}
	master, err := conf.findMaster(from)
	if err != nil {
		return link{}, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.HardwareAddr = name, conf.MTU, conf.mac
	attrs.ParentIndex, attrs.Namespace = master.Attrs().Index, netlink.NsFd(pod.FD())
	wanted := &netlink.Macvlan{LinkAttrs: attrs, Mode: conf.mode, BCQueueLen: conf.QueueLength}
	made, err := add(from, pod, *wanted)
	if errors.Is(err, unix.EEXIST) {
		made, err = addAndRename(from, pod, *wanted)
	}
	if err != nil {
		return link{}, fmt.Errorf("failed to create macvlan: %w", err)
	}
	return link{index: made.Attrs().Index, name: name, mac: made.Attrs().HardwareAddr.String()}, nil
}

// add makes the link by a request in from. EEXIST when the pod has one of its name or, before Linux 6.14, from has.
func add(from, pod *netif.Namespace, wanted netlink.Macvlan) (netlink.Link, error) {
	if err := from.LinkAdd(&wanted); err != nil {
		return nil, err
	}
	made, err := pod.LinkByName(wanted.Name)
	if err != nil {
		return nil, fmt.Errorf("the link that was just made: %w", err)
	}
	return made, nil
}

// addAndRename gives the link its name inside, which takes the kernel milliseconds.
func addAndRename(from, pod *netif.Namespace, wanted netlink.Macvlan) (netlink.Link, error) {
	name := wanted.Name
	wanted.Name = netif.RandomVeth()
	made, err := add(from, pod, wanted)
	if err != nil {
		return nil, err
	}
	if err := pod.LinkSetName(made, name); err != nil {
		return nil, errors.Join(fmt.Errorf("rename: %w", err), remove(pod, made.Attrs().Index))
	}
	return made, nil
}

// remove deletes a link; nil when there is none.
func remove(pod *netif.Namespace, index int) error {
	err := pod.LinkDel(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}})
	return netif.Gone(err)
}

// configure gives the link what the result says, as all reference plugins do.
func (p *Plugin) configure(ctx context.Context, pod *netif.Namespace, l link, result *current.Result) error {
	if err := pod.Do(func() error { return p.setSysctls(l.name, result.IPs) }); err != nil {
		return err
	}
	device := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: l.index, Name: l.name}}
	for _, ip := range result.IPs {
		if err := pod.AddrAdd(device, &netlink.Addr{IPNet: &ip.Address}); err != nil {
			return fmt.Errorf("address %s of %s: %w", &ip.Address, l.name, err)
		}
	}
	if err := up(pod, l); err != nil {
		return err
	}
	gateway4, gateway6 := netif.Gateways(result.IPs)
	if gateway6 != nil {
		if err := pod.Settle(ctx, device); err != nil {
			return err
		}
	}
	for _, r := range result.Routes {
		route := &netlink.Route{Dst: &r.Dst, LinkIndex: l.index, Gw: r.GW, Priority: r.Priority}
		switch {
		case r.GW != nil:
		case r.Dst.IP.To4() != nil:
			route.Gw = gateway4
		default:
			route.Gw = gateway6
		}
		if r.Table != nil {
			route.Table = *r.Table
		}
		if r.Scope != nil {
			route.Scope = netlink.Scope(*r.Scope)
		}
		if err := pod.RouteAddEcmp(route); err != nil {
			return fmt.Errorf("route %s by %s of %s: %w", &r.Dst, route.Gw, l.name, err)
		}
	}
	return nil
}

func up(pod *netif.Namespace, l link) error {
	if err := pod.SetLink(l.index, netif.Change{Up: true}); err != nil {
		return fmt.Errorf("failed to set %q UP: %w", l.name, err)
	}
	return nil
}

// setSysctls has the kernel tell the neighbours about the addresses, and makes IPv6 work when there is such an address. It is called
// on a thread inside the pod's namespace.
func (p *Plugin) setSysctls(name string, ips []*current.IPConfig) error {
	_ = p.sysctls.Write("net/ipv4/conf/"+name+"/arp_notify", "1")   // without it the neighbours learn later
	_ = p.sysctls.Write("net/ipv6/conf/"+name+"/ndisc_notify", "1") // missing without IPv6
	if !netif.HasIPv6(ips) {
		return nil
	}
	for _, link := range []string{"lo", name} {
		if err := p.sysctls.Ensure("net/ipv6/conf/"+link+"/disable_ipv6", "0"); err != nil {
			return fmt.Errorf("enable IPv6 for %s: %w", link, err)
		}
	}
	if err := p.sysctls.Write("net/ipv6/conf/"+name+"/keep_addr_on_down", "1"); err != nil {
		return fmt.Errorf("keep addresses of %s: %w", name, err)
	}
	return nil
}
