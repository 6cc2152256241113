// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/netif"
)

// ensureBridge finds the configured bridge or makes it. Of one that exists nothing is changed but what lets it
// work: it is up, promiscuous where that is asked for, and takes no router's advertisements.
func (p *Plugin) ensureBridge(conf *config) (*netlink.Bridge, error) {
	br, err := p.findBridge(conf.Bridge)
	if err == nil && br == nil {
		br, err = p.makeBridge(conf)
	}
	if err == nil {
		err = p.openBridge(br, conf.PromiscMode)
	}
	if err != nil {
		return nil, fmt.Errorf("failed to create bridge %q: %w", conf.Bridge, err)
	}
	return br, nil
}

func (p *Plugin) findBridge(name string) (*netlink.Bridge, error) {
	link, err := p.host.Find(name)
	if err != nil {
		return nil, fmt.Errorf("could not lookup %q: %w", name, err)
	}
	if link == nil {
		return nil, nil
	}
	br, ok := link.(*netlink.Bridge)
	if !ok {
		return nil, fmt.Errorf("%q already exists but is not a bridge", name)
	}
	return br, nil
}

func (p *Plugin) makeBridge(conf *config) (*netlink.Bridge, error) {
	attributes := netlink.NewLinkAttrs()
	attributes.Name, attributes.MTU = conf.Bridge, conf.mtu()
	br := &netlink.Bridge{LinkAttrs: attributes}
	if conf.vlanAware() {
		filtering := true
		br.VlanFiltering = &filtering
	}
	if err := p.host.LinkAdd(br); err != nil && !errors.Is(err, unix.EEXIST) { // another ADD may have been quicker
		return nil, fmt.Errorf("could not add %q: %w", conf.Bridge, err)
	}
	made, err := p.findBridge(conf.Bridge)
	if err == nil && made == nil {
		err = fmt.Errorf("could not lookup %q: it is gone", conf.Bridge)
	}
	return made, err
}

func (p *Plugin) openBridge(br *netlink.Bridge, promiscuous bool) error {
	if promiscuous && br.RawFlags&unix.IFF_PROMISC == 0 {
		if err := p.host.SetPromiscOn(br); err != nil {
			return fmt.Errorf("could not set promiscuous mode on %q: %w", br.Name, err)
		}
	}
	p.refuseRouters(br.Name)
	if br.RawFlags&unix.IFF_UP != 0 {
		return nil
	}
	return p.host.SetLink(br.Index, netif.Change{Up: true})
}

// refuseRouters keeps the routes of an interface the host's own. A kernel without IPv6 has no such sysctl.
func (p *Plugin) refuseRouters(name string) {
	_ = p.host.Do(func() error { return p.sysctls.Write("net/ipv6/conf/"+name+"/accept_ra", "0") })
}

// leaveIPv6 keeps a port of the bridge from having addresses and routes of its own, which nothing could use and every new port would have
// to be told of.
func (p *Plugin) leaveIPv6(name string) {
	p.refuseRouters(name)
	_ = p.host.Do(func() error { return p.sysctls.Write("net/ipv6/conf/"+name+"/disable_ipv6", "1") })
}

// ensureGatewayLink finds or makes the link of the host that is in the configured VLAN: a veth whose other end is a port of the bridge.
func (p *Plugin) ensureGatewayLink(br *netlink.Bridge, conf *config) (netlink.Link, error) {
	name := conf.gatewayLink()
	link, err := p.host.Find(name)
	if err != nil {
		return nil, fmt.Errorf("failed to find interface %q: %w", name, err)
	}
	if link != nil {
		return link, nil
	}
	pair := &pair{ifName: name, mtu: br.MTU, mac: netif.RandomMAC(), namespace: p.host}
	if err := p.makePair(pair); err != nil {
		if link, _ := p.host.Find(name); link != nil { // another ADD was quicker
			return link, nil
		}
		return nil, fmt.Errorf("failed to create vlan gateway %q: %w", name, err)
	}
	err = p.join(br, pair.host, netif.Port{}, portVLANs{id: conf.VLAN, keepsDefault: conf.PreserveDefaultVLAN})
	if err == nil {
		link, err = p.host.LinkByName(name)
	}
	if err == nil {
		err = p.host.SetLink(link.Attrs().Index, netif.Change{Up: true})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("failed to create vlan gateway %q: %w", name, err), p.host.LinkDel(pair.host))
	}
	return link, nil
}

// join makes port one of the bridge's, with all its settings, and brings it up.
func (p *Plugin) join(br *netlink.Bridge, port netlink.Link, settings netif.Port, vlans portVLANs) error {
	index, name := port.Attrs().Index, port.Attrs().Name
	connect := func(c netif.Change) error {
		if err := p.host.SetLink(index, c); err != nil {
			return fmt.Errorf("failed to connect %q to bridge %v: %w", name, br.Name, err)
		}
		return nil
	}
	if settings == (netif.Port{}) && !vlans.any() {
		return connect(netif.Change{Master: br.Index, Up: true})
	}
	if err := connect(netif.Change{Master: br.Index}); err != nil {
		return err
	}
	if settings != (netif.Port{}) {
		if err := p.host.SetPort(index, settings); err != nil {
			return fmt.Errorf("failed to setup hairpin mode and isolation for %v: %w", name, err)
		}
	}
	if vlans.any() {
		if err := p.setVLANs(br, port, vlans); err != nil {
			return err
		}
	}
	return connect(netif.Change{Up: true})
}
