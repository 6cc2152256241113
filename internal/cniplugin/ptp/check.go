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
	if err := c.DelegateCheck(ctx, conf.IPAM.Type); err != nil {
		return err
	}
	result, err := conf.Result()
	if err != nil {
		return err
	}
	if result == nil {
		return errors.New("ptp: Required prevResult missing")
	}
	var pod types100.Interface
	for _, i := range result.Interfaces {
		if i != nil && i.Name == c.IfName && i.Sandbox == c.NetNS {
			pod = *i
		}
	}
	if pod.Sandbox != c.NetNS {
		return fmt.Errorf("Sandbox in prevResult %s doesn't match configured netns: %s", pod.Sandbox, c.NetNS) //nolint:staticcheck // the reference plugin's words
	}
	if err := checkPod(ns, pod); err != nil {
		return err
	}
	if err := ns.CheckAddresses(c.IfName, result.IPs); err != nil {
		return err
	}
	return ns.CheckRoutes(result.Routes)
}

func checkPod(ns *netif.Namespace, i types100.Interface) error {
	link, err := ns.LinkByName(i.Name)
	if err != nil {
		return fmt.Errorf("ptp: Container Interface name in prevResult: %s not found", i.Name)
	}
	if _, ok := link.(*netlink.Veth); !ok {
		return fmt.Errorf("Error: Container interface %s not of type veth/p2p", i.Name) //nolint:staticcheck // the reference plugin's words
	}
	if mac := link.Attrs().HardwareAddr.String(); i.Mac != "" && i.Mac != mac {
		return fmt.Errorf("ptp: Interface %s Mac %s doesn't match container Mac: %s", i.Name, i.Mac, mac)
	}
	return nil
}
