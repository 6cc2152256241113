// SPDX-License-Identifier: Apache-2.0

package network

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/libcni"
)

const (
	// A kubelet asks every few seconds; plugins are asked less often than that.
	statusReadyFor    = 30 * time.Second
	statusNotReadyFor = 5 * time.Second
	// statusTime bounds the plugins' answers.
	statusTime = 5 * time.Second
)

// status is the plugins' last answer to STATUS.
type status struct {
	mu   sync.Mutex
	conf *configuration // that was asked about
	err  error
	till time.Time
}

// Ready implements Attacher. It looks at the networks of no particular handler: the configuration, whether
// the plugins exist, and what they say of themselves. ErrUnavailable.
func (n *Networks) Ready() error {
	conf := n.standard.current()
	if err := n.standard.usable(conf); err != nil {
		return err
	}
	if err := n.installed(conf); err != nil {
		return err
	}
	return n.pluginStatus(conf)
}

// Problems lists configuration files of the standard directory that are passed over.
func (n *Networks) Problems() []error { return n.standard.current().problems }

func (n *Networks) installed(conf *configuration) error {
	for _, net := range conf.networks {
		for _, p := range net.list.Plugins {
			if _, err := n.exec.FindInPath(p.Network.Type, n.config.BinDirs); err != nil {
				return fmt.Errorf("network %q: %w: %w", net.list.Name, err, errdefs.ErrUnavailable)
			}
		}
	}
	return nil
}

// pluginStatus runs STATUS, when the last answer is old or concerns another configuration.
func (n *Networks) pluginStatus(conf *configuration) error {
	s := &n.status
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conf == conf && time.Now().Before(s.till) {
		return s.err
	}
	began := time.Now()
	s.conf, s.err = conf, n.ask(conf)
	n.counter.count(&n.counter.metrics.Status, began, s.err)
	s.till = time.Now().Add(statusReadyFor)
	if s.err != nil {
		s.till = time.Now().Add(statusNotReadyFor)
	}
	return s.err
}

func (n *Networks) ask(conf *configuration) error {
	ctx, cancel := context.WithTimeout(n.background, statusTime)
	defer cancel()
	for _, net := range conf.networks {
		if err := n.askNetwork(ctx, net.list); err != nil {
			return fmt.Errorf("network %q: %w: %w", net.list.Name, err, errdefs.ErrUnavailable)
		}
	}
	return nil
}

// askNetwork asks all plugins of a chain. Those inside answer for a version without the verb too.
func (n *Networks) askNetwork(ctx context.Context, list *libcni.NetworkConfigList) error {
	if n.inside == nil {
		return n.cni.GetStatusNetworkList(ctx, list)
	}
	for _, p := range list.Plugins {
		conf, err := libcni.InjectConf(p, map[string]any{"name": list.Name, "cniVersion": list.CNIVersion})
		if err != nil {
			return err
		}
		if err := n.inside.Status(ctx, p.Network.Type, conf.Bytes, n.config.BinDirs); err != nil {
			return fmt.Errorf("plugin %s: %w", p.Network.Type, err)
		}
	}
	return nil
}
