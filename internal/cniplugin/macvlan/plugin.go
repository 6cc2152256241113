// SPDX-License-Identifier: Apache-2.0

package macvlan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/netif"
)

// undoTimeout is how long an ADD that failed may take to give its addresses back.
const undoTimeout = 10 * time.Second

// Config is what a Plugin works with.
type Config struct {
	Host *netif.Namespace // where masters are; stays the caller's
}

// Plugin is macvlan. Its methods may be called concurrently.
type Plugin struct {
	host    *netif.Namespace
	sysctls netif.Sysctls
}

var _ cniplugin.Plugin = (*Plugin)(nil)

// New makes a Plugin.
func New(c Config) *Plugin { return &Plugin{host: c.Host} }

// Close ends it. No method is called any more.
func (p *Plugin) Close() error {
	p.sysctls.Close()
	return nil
}

// Add implements cniplugin.Plugin.
func (p *Plugin) Add(ctx context.Context, c *cniplugin.Call) (_ types.Result, err error) {
	conf, err := parse(c)
	if err != nil {
		return nil, err
	}
	pod, err := open(c.NetNS)
	if err != nil {
		return nil, err
	}
	defer pod.Close()
	l, err := p.create(conf, pod, c.IfName)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, remove(pod, l.index))
		}
	}()
	result := &current.Result{
		CNIVersion: current.ImplementedSpecVersion,
		Interfaces: []*current.Interface{{Name: c.IfName, Mac: l.mac, Sandbox: c.NetNS}},
		DNS:        conf.DNS,
	}
	if conf.IPAM.Type == "" {
		return result, up(pod, l)
	}
	return result, p.address(ctx, c, conf.IPAM.Type, pod, l, result)
}

// address has the IPAM plugin find addresses, and gives them to the link. What it does not use is given back.
func (p *Plugin) address(ctx context.Context, c *cniplugin.Call, ipam string, pod *netif.Namespace, l link, result *current.Result) (err error) {
	r, err := c.DelegateAdd(ctx, ipam)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
			defer cancel()
			err = errors.Join(err, c.DelegateDel(ctx, ipam))
		}
	}()
	addresses, err := current.NewResultFromResult(r)
	if err != nil {
		return err
	}
	if err := usable(addresses); err != nil {
		return fmt.Errorf("IPAM plugin %s: %w", ipam, err)
	}
	result.IPs, result.Routes = addresses.IPs, addresses.Routes
	for _, ip := range result.IPs {
		ip.Interface = current.Int(0)
	}
	return p.configure(ctx, pod, l, result)
}

// usable finds what nobody can configure in a result.
func usable(r *current.Result) error {
	if len(r.IPs) == 0 {
		return errors.New("no address in the result")
	}
	for _, ip := range r.IPs {
		if ip == nil || ip.Address.IP.To16() == nil || ip.Address.Mask == nil {
			return errors.New("an empty address in the result")
		}
	}
	for _, route := range r.Routes {
		if route == nil || route.Dst.IP.To16() == nil || route.Dst.Mask == nil {
			return errors.New("a route without dst in the result")
		}
	}
	return nil
}

// Del implements cniplugin.Plugin. The link goes before its addresses are free, so that nobody answers for them any more.
func (p *Plugin) Del(ctx context.Context, c *cniplugin.Call) error {
	conf, err := decode(c.Config)
	if err != nil {
		return err
	}
	err = detach(c)
	if conf.IPAM.Type != "" {
		err = errors.Join(err, c.DelegateDel(ctx, conf.IPAM.Type))
	}
	return err
}

// detach removes the pod's link, if there is any.
func detach(c *cniplugin.Call) error {
	if c.NetNS == "" {
		return nil
	}
	pod, err := open(c.NetNS)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer pod.Close()
	link, err := pod.Find(c.IfName)
	if link == nil || err != nil {
		return err
	}
	return remove(pod, link.Attrs().Index)
}

// Status implements cniplugin.Plugin: it fails when every ADD would.
func (p *Plugin) Status(ctx context.Context, c *cniplugin.Call) error {
	conf, err := parse(c)
	if err != nil {
		return err
	}
	if !conf.InContainer {
		var coded *types.Error
		if _, err := conf.findMaster(p.host); errors.As(err, &coded) {
			return err
		} else if err != nil {
			return types.NewError(types.ErrPluginNotAvailable, "macvlan has no master", err.Error())
		}
	}
	if conf.IPAM.Type == "" {
		return nil
	}
	return c.DelegateStatus(ctx, conf.IPAM.Type)
}

// GC implements cniplugin.Plugin. Links end with their pod's namespace; what may be left is the IPAM plugin's.
func (p *Plugin) GC(ctx context.Context, c *cniplugin.Call) error {
	conf, err := decode(c.Config)
	if err != nil || conf.IPAM.Type == "" {
		return err
	}
	return c.DelegateGC(ctx, conf.IPAM.Type)
}

// open opens the pod's namespace.
func open(path string) (*netif.Namespace, error) {
	pod, err := netif.Open(path)
	if err != nil {
		return nil, fmt.Errorf("failed to open netns %q: %w", path, err)
	}
	return pod, nil
}
