// SPDX-License-Identifier: Apache-2.0

package loopback

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/netif"
)

const name = "lo"

// Plugin is the CNI plugin loopback.
type Plugin struct{}

var _ cniplugin.Plugin = (*Plugin)(nil)

// New makes the plugin.
func New() *Plugin { return &Plugin{} }

// Add implements cniplugin.Plugin. The result is that of the plugin before it, if there is one.
func (*Plugin) Add(_ context.Context, c *cniplugin.Call) (types.Result, error) {
	version, previous, err := parse(c)
	if err != nil {
		return nil, err
	}
	var addresses []netlink.Addr
	err = with(c.NetNS, func(ns *netif.Namespace, lo netlink.Link) error {
		if err := ns.LinkSetUp(lo); err != nil {
			return fmt.Errorf("set up %s: %w", name, err)
		}
		addresses, err = ns.AddrList(lo, netlink.FAMILY_ALL)
		return err
	})
	if err != nil {
		return nil, err
	}
	result, err := report(version, c.NetNS, addresses)
	if err == nil && previous != nil {
		return previous, nil
	}
	return result, err
}

// report names the first address of each family. The result has the configuration's version from the start, as the reference's:
// addresses have no field version before 1.0.0.
func report(version, netns string, addresses []netlink.Addr) (types.Result, error) {
	r := &types100.Result{
		CNIVersion: version,
		Interfaces: []*types100.Interface{{Name: name, Mac: "00:00:00:00:00:00", Sandbox: netns}},
	}
	for _, want := range []int{net.IPv4len, net.IPv6len} {
		found := false
		for _, a := range addresses {
			if familyLength(a.IP) != want {
				continue
			}
			if !a.IP.IsLoopback() {
				return nil, fmt.Errorf("loopback interface found with non-loopback address %q", a.IP)
			}
			if !found {
				r.IPs = append(r.IPs, &types100.IPConfig{Interface: types100.Int(0), Address: *a.IPNet})
			}
			found = true
		}
	}
	return r, nil
}

func familyLength(ip net.IP) int {
	if ip.To4() != nil {
		return net.IPv4len
	}
	return net.IPv6len
}

// Del implements cniplugin.Plugin.
func (*Plugin) Del(_ context.Context, c *cniplugin.Call) error {
	if c.NetNS == "" {
		return nil
	}
	err := with(c.NetNS, func(ns *netif.Namespace, lo netlink.Link) error { return ns.LinkSetDown(lo) })
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// Check implements cniplugin.Plugin.
func (*Plugin) Check(_ context.Context, c *cniplugin.Call) error {
	return with(c.NetNS, func(_ *netif.Namespace, lo netlink.Link) error {
		if lo.Attrs().RawFlags&unix.IFF_UP == 0 {
			return errors.New("loopback interface is down")
		}
		return nil
	})
}

// Status implements cniplugin.Plugin.
func (*Plugin) Status(_ context.Context, c *cniplugin.Call) error {
	_, _, err := parse(c)
	return err
}

// GC implements cniplugin.Plugin. There is nothing on the host.
func (*Plugin) GC(context.Context, *cniplugin.Call) error { return nil }

// parse reads what there is to read of a configuration.
func parse(c *cniplugin.Call) (version string, previous *types100.Result, err error) {
	var conf cniplugin.Previous
	if err := json.Unmarshal(c.Config, &conf); err != nil {
		return "", nil, fmt.Errorf("failed to parse network config: %w", err)
	}
	previous, err = conf.Result()
	return conf.CNIVersion, previous, err
}

// with calls f with the interface lo of a namespace. ErrNotFound when the namespace is gone.
func with(netns string, f func(*netif.Namespace, netlink.Link) error) error {
	ns, err := netif.Open(netns)
	if err != nil {
		return err
	}
	defer ns.Close()
	lo, err := ns.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return f(ns, lo)
}
