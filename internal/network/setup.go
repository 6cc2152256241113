// SPDX-License-Identifier: Apache-2.0

package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containernetworking/cni/pkg/types"

	"github.com/sardine-run/sardine/internal/fault"
)

// undoTime bounds the DELs after a failed ADD, while the caller still waits and the namespace
// still exists. What takes longer is left to the background.
const undoTime = 10 * time.Second

// Setup implements Attacher.
func (n *Networks) Setup(ctx context.Context, a *Attachment) (*Result, error) {
	began := time.Now()
	result, err := n.setup(ctx, a)
	n.counter.count(&n.counter.metrics.Setup, began, err)
	return result, err
}

func (n *Networks) setup(ctx context.Context, a *Attachment) (*Result, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	capabilities, err := a.capabilities(n.cidrs.get())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, n.config.Timeout)
	defer cancel()
	unlock, err := n.locks.lock(ctx, a.ID)
	if err != nil {
		return nil, err
	}
	defer unlock()
	leave, err := n.gate.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	result, err := n.admitted(ctx, a, capabilities)
	if err != nil {
		return nil, fmt.Errorf("network of pod %s/%s (%s): %w", a.Namespace, a.Name, a.ID, err)
	}
	n.changed()
	return result, nil
}

// admitted records and attaches. The configuration is read as late as possible.
func (n *Networks) admitted(ctx context.Context, a *Attachment, capabilities map[string]json.RawMessage) (*Result, error) {
	dir := n.of(a.Handler)
	conf := dir.current()
	if err := dir.usable(conf); err != nil {
		return nil, err
	}
	if err := n.installed(conf); err != nil { // its DEL could not be done either
		return nil, err
	}
	if !a.LoopbackUp {
		if err := loopbackUp(a.NetNS); err != nil {
			return nil, err
		}
	}
	r := newRecord(a, capabilities, conf.networks)
	if err := n.records.create(r); err != nil {
		return nil, err
	}
	done := make([]int, len(conf.networks))
	result, err := n.attach(ctx, r, conf.networks, a.NetNS, done)
	if err != nil {
		n.undo(ctx, r, a.NetNS, done)
	}
	return result, err
}

func newRecord(a *Attachment, capabilities map[string]json.RawMessage, networks []*network) *record {
	r := &record{Version: recordVersion, ID: a.ID, Args: a.args(), Capabilities: capabilities}
	for _, net := range networks {
		r.Networks = append(r.Networks, recordedNetwork{Interface: net.ifName, Config: net.list.Bytes})
	}
	return r
}

// attach runs ADD for all networks, one after the other or all at once. done gets how many plugins of each have succeeded.
func (n *Networks) attach(ctx context.Context, r *record, networks []*network, netns string, done []int) (*Result, error) {
	results := make([]types.Result, len(networks))
	add := func(i int) error {
		var err error
		results[i], done[i], err = n.add(ctx, networks[i], r, netns)
		return classify(networks[i], err)
	}
	if err := fault.Point(fault.NetworkRecord); err != nil {
		return nil, err
	}
	if err := eachOf(len(networks), n.config.SetupSerially, add); err != nil {
		return nil, err
	}
	if err := fault.Point(fault.NetworkAdd); err != nil {
		return nil, err
	}
	return merge(results, n.config.IPPref)
}

// eachOf calls f with 0 to count-1. One after the other it stops at the first error.
func eachOf(count int, serially bool, f func(int) error) error {
	if serially || count == 1 {
		for i := range count {
			if err := f(i); err != nil {
				return err
			}
		}
		return nil
	}
	errs := make([]error, count)
	var wg sync.WaitGroup
	for i := range count {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// undo detaches what a failed Setup attached. The specification wants a DEL for a failed ADD too. The
// caller's context may have ended, which is no reason not to.
func (n *Networks) undo(ctx context.Context, r *record, netns string, done []int) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	if err := n.detach(ctx, r, netns, done); err != nil {
		log.G(ctx).WithError(err).WithField("sandbox", r.ID).
			Warn("cni: what a failed setup attached could not be detached yet")
	}
}

// classify adds the network's name and the error's class.
func classify(net *network, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s, network %q: %w", net.ifName, net.list.Name, err)
	}
	var class error = errdefs.ErrInternal
	var said *types.Error
	if errors.As(err, &said) {
		class = classOf(said.Code)
	}
	return fmt.Errorf("%s, network %q: %w: %w", net.ifName, net.list.Name, err, class)
}

// classOf maps the specification's error codes.
func classOf(code uint) error {
	switch code {
	case types.ErrTryAgainLater, types.ErrPluginNotAvailable, types.ErrLimitedConnectivity:
		return errdefs.ErrUnavailable
	case types.ErrIncompatibleCNIVersion, types.ErrUnsupportedField, types.ErrInvalidNetworkConfig:
		return errdefs.ErrFailedPrecondition
	}
	return errdefs.ErrInternal
}
