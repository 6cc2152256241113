// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"errors"
	"fmt"

	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/netif"
)

// Check implements cniplugin.Plugin. What it says is what the reference plugin says.
func (p *Plugin) Check(ctx context.Context, c *cniplugin.Call) error {
	conf, err := parse(c)
	if err != nil {
		return err
	}
	ns, err := netif.Open(c.NetNS)
	if err != nil {
		return fmt.Errorf("failed to open netns %q: %w", c.NetNS, err)
	}
	defer ns.Close()
	if conf.layer3() {
		if err := c.DelegateCheck(ctx, conf.IPAM.Type); err != nil {
			return err
		}
	}
	result, err := conf.Result()
	if err != nil {
		return err
	}
	if result == nil {
		return errors.New("Required prevResult missing") //nolint:staticcheck // the reference plugin's words, here and below
	}
	if err := p.checkLinks(conf, c, ns, result); err != nil {
		return err
	}
	if err := ns.CheckAddresses(c.IfName, result.IPs); err != nil {
		return err
	}
	return ns.CheckRoutes(result.Routes)
}

// checkLinks finds the bridge, the pod's end and the host's.
func (p *Plugin) checkLinks(conf *config, c *cniplugin.Call, ns *netif.Namespace, result *types100.Result) error {
	var bridge, pod types100.Interface
	for _, i := range result.Interfaces {
		switch {
		case i == nil:
		case i.Name == conf.Bridge:
			bridge = *i
		case i.Name == c.IfName && i.Sandbox == c.NetNS:
			pod = *i
		}
	}
	br, err := p.checkBridge(bridge, conf.PromiscMode)
	if err != nil {
		return err
	}
	if pod.Sandbox != c.NetNS {
		return fmt.Errorf("Sandbox in prevResult %s doesn't match configured netns: %s", pod.Sandbox, c.NetNS) //nolint:staticcheck
	}
	end, err := checkPod(ns, pod)
	if err != nil {
		return err
	}
	for _, i := range result.Interfaces {
		if i == nil || i.Name == bridge.Name || i.Name == pod.Name {
			continue
		}
		if found, err := p.checkHostEnd(*i, br, end); found || err != nil {
			return err
		}
	}
	return fmt.Errorf("CNI veth created for bridge %s was not found", conf.Bridge)
}

// lookUp finds an interface that a result has, and that is where it should be.
func lookUp(ns *netif.Namespace, i types100.Interface, sandboxed bool) (netlink.Link, error) {
	if i.Name == "" {
		return nil, errors.New("Interface name missing ") //nolint:staticcheck
	}
	link, err := ns.LinkByName(i.Name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("Interface name %s not found", i.Name) //nolint:staticcheck
	case sandboxed && i.Sandbox == "":
		return nil, fmt.Errorf("Interface %s is expected to be in a sandbox", i.Name) //nolint:staticcheck
	case !sandboxed && i.Sandbox != "":
		return nil, fmt.Errorf("Interface %s should not be in sandbox", i.Name) //nolint:staticcheck
	}
	return link, nil
}

func (p *Plugin) checkBridge(i types100.Interface, promiscuous bool) (netlink.Link, error) {
	link, err := lookUp(p.host, i, false)
	if err != nil {
		return nil, err
	}
	if _, ok := link.(*netlink.Bridge); !ok {
		return nil, fmt.Errorf("Interface %s does not have link type of bridge", i.Name) //nolint:staticcheck
	}
	if mac := link.Attrs().HardwareAddr.String(); i.Mac != "" && i.Mac != mac {
		return nil, fmt.Errorf("Bridge interface %s Mac doesn't match: %s", i.Name, i.Mac) //nolint:staticcheck
	}
	if is := link.Attrs().Promisc != 0; is != promiscuous {
		//nolint:staticcheck
		return nil, fmt.Errorf("Bridge interface %s configured Promisc Mode %v doesn't match current state: %v ", i.Name, promiscuous, is)
	}
	return link, nil
}

func checkPod(ns *netif.Namespace, i types100.Interface) (netlink.Link, error) {
	link, err := lookUp(ns, i, true)
	if err != nil {
		return nil, err
	}
	if _, ok := link.(*netlink.Veth); !ok {
		return nil, fmt.Errorf("Error: Container interface %s not of type veth", i.Name) //nolint:staticcheck
	}
	if mac := link.Attrs().HardwareAddr.String(); i.Mac != "" && i.Mac != mac {
		return nil, fmt.Errorf("Interface %s Mac %s doesn't match container Mac: %s", i.Name, i.Mac, mac) //nolint:staticcheck
	}
	return link, nil
}

// checkHostEnd tells whether i is the pod's other end. A port that DEL has silenced is not.
func (p *Plugin) checkHostEnd(i types100.Interface, br, pod netlink.Link) (bool, error) {
	link, err := lookUp(p.host, i, false)
	if err != nil {
		return false, err
	}
	a := link.Attrs()
	if _, ok := link.(*netlink.Veth); !ok || a.Index != pod.Attrs().ParentIndex || a.ParentIndex != pod.Attrs().Index || a.MasterIndex != br.Attrs().Index {
		return false, nil
	}
	if i.Mac != "" && i.Mac != a.HardwareAddr.String() {
		return false, fmt.Errorf("Interface %s Mac doesn't match: %s not found", i.Name, i.Mac) //nolint:staticcheck
	}
	port, err := p.host.PortByIndex(a.Index)
	return err == nil && port != nil && !port.Silent, err
}
