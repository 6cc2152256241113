// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"errors"
	"io"
	"maps"
	"slices"

	"github.com/containernetworking/cni/pkg/invoke"

	"github.com/sardine-run/sardine/internal/cniplugin"
	"github.com/sardine-run/sardine/internal/cniplugin/bandwidth"
	"github.com/sardine-run/sardine/internal/cniplugin/bridge"
	"github.com/sardine-run/sardine/internal/cniplugin/firewall"
	"github.com/sardine-run/sardine/internal/cniplugin/hostlocal"
	"github.com/sardine-run/sardine/internal/cniplugin/loopback"
	"github.com/sardine-run/sardine/internal/cniplugin/macvlan"
	"github.com/sardine-run/sardine/internal/cniplugin/portmap"
	"github.com/sardine-run/sardine/internal/cniplugin/ptp"
	"github.com/sardine-run/sardine/internal/cniplugin/tuning"
	"github.com/sardine-run/sardine/internal/macspoof"
	"github.com/sardine-run/sardine/internal/masquerade"
	"github.com/sardine-run/sardine/internal/netif"
	"github.com/sardine-run/sardine/internal/nft"
)

// Plugins are all there are, with what they share: sockets and indexes of the daemon's own network namespace.
type Plugins struct {
	byType  map[string]cniplugin.Plugin
	closers []func() error // the last one first
}

// New makes the plugins. Close ends them.
func New() (_ *Plugins, err error) {
	p := &Plugins{byType: map[string]cniplugin.Plugin{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	host, err := netif.Host()
	if err != nil {
		return nil, err
	}
	p.onClose(func() error { host.Close(); return nil })
	tables, err := nft.New()
	if err != nil {
		return nil, err
	}
	p.onClose(tables.Close)
	reaper := netif.NewReaper(host)
	p.onClose(reaper.Close)
	p.addAll(host, reaper, tables)
	return p, nil
}

func (p *Plugins) addAll(host *netif.Namespace, reaper *netif.Reaper, tables *nft.Tables) {
	masq := masquerade.New(tables)
	p.add("bridge", bridge.New(bridge.Config{Host: host, Masquerade: masq, Spoof: macspoof.New(tables), Reaper: reaper}))
	p.add("ptp", ptp.New(ptp.Config{Host: host, Masquerade: masq, Reaper: reaper}))
	p.add("macvlan", macvlan.New(macvlan.Config{Host: host}))
	p.add("loopback", loopback.New())
	p.add("host-local", hostlocal.New())
	p.add("portmap", portmap.New(portmap.Config{Host: host, Tables: tables}))
	p.add("firewall", firewall.New(firewall.Config{Host: host}))
	p.add("bandwidth", bandwidth.New(bandwidth.Config{Host: host}))
	p.add("tuning", tuning.New(tuning.Config{}))
}

func (p *Plugins) onClose(f func() error) { p.closers = append(p.closers, f) }

func (p *Plugins) add(name string, plugin cniplugin.Plugin) {
	p.byType[name] = plugin
	if c, ok := plugin.(io.Closer); ok {
		p.onClose(c.Close)
	}
}

// Types lists them.
func (p *Plugins) Types() []string { return slices.Sorted(maps.Keys(p.byType)) }

// Set has the plugins, and binaries for all others.
func (p *Plugins) Set(binaries invoke.Exec) *cniplugin.Set {
	return cniplugin.NewSet(p.byType, binaries)
}

// Close ends what plugins have going on. None is called any more.
func (p *Plugins) Close() error {
	var errs []error
	for _, f := range slices.Backward(p.closers) {
		errs = append(errs, f())
	}
	p.closers = nil
	return errors.Join(errs...)
}
