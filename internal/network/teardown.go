// SPDX-License-Identifier: Apache-2.0

package network

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containernetworking/cni/libcni"

	"github.com/sardine-run/sardine/internal/fault"
)

// Teardown implements Attacher.
func (n *Networks) Teardown(ctx context.Context, id, netns string) error {
	began := time.Now()
	err := n.teardown(ctx, id, netns)
	n.counter.count(&n.counter.metrics.Teardown, began, err)
	return err
}

// teardown is what both Teardown and the background do.
func (n *Networks) teardown(ctx context.Context, id, netns string) error {
	ctx, cancel := context.WithTimeout(ctx, n.config.Timeout)
	defer cancel()
	unlock, err := n.locks.lock(ctx, id)
	if err != nil { // whoever holds it may be attaching
		if n.records.has(id) {
			n.later(id)
		}
		return err
	}
	defer unlock()
	r, err := n.record(id)
	if errdefs.IsNotFound(err) {
		n.retries.drop(id)
		return nil
	}
	if err != nil {
		return err
	}
	leave, err := n.gate.enter(ctx)
	if err != nil {
		n.later(id)
		return err
	}
	defer leave()
	if err := n.detach(ctx, r, netns, nil); err != nil {
		return fmt.Errorf("network of pod sandbox %s: %w", id, err)
	}
	n.changed()
	return nil
}

// detach runs DEL for all networks of a record, in reverse order, with the configuration that
// ADD had. One that fails keeps none of the others: it stays recorded, and is tried again later. done is attach's, nil when it was through.
func (n *Networks) detach(ctx context.Context, r *record, netns string, done []int) error {
	networks, err := r.networks()
	if err != nil {
		return fmt.Errorf("network record: %w: %w", err, errdefs.ErrDataLoss)
	}
	var left []recordedNetwork
	var errs []error
	for i := len(networks) - 1; i >= 0; i-- {
		net := networks[i]
		plugins := len(net.list.Plugins)
		if done != nil {
			plugins = done[i]
		}
		if err := n.del(ctx, net, r, netns, plugins); err != nil {
			errs = append(errs, classify(net, err))
			left = append(left, r.Networks[i])
		}
	}
	if len(errs) == 0 {
		return n.forget(r)
	}
	if len(left) < len(r.Networks) {
		slices.Reverse(left)
		rest := *r
		rest.Networks = left
		errs = append(errs, n.records.replace(&rest))
	}
	n.later(r.ID)
	return errors.Join(errs...)
}

// forget drops the record of a sandbox that is detached.
func (n *Networks) forget(r *record) error {
	if err := fault.Point(fault.NetworkDelete); err != nil {
		n.later(r.ID)
		return err
	}
	n.retries.drop(r.ID)
	if err := n.records.remove(r.ID); err != nil {
		return err
	}
	return fault.Point(fault.NetworkForget)
}

// later has the background detach a sandbox.
func (n *Networks) later(id string) {
	if err := n.records.mark(id); err != nil {
		log.L.WithError(err).WithField("sandbox", id).
			Warn("cni: a daemon that starts later may not know that this is to be detached")
	}
	n.retries.add(id)
}

// again is one more try, from the background. The namespace may be gone by now and its
// path may lead to another, so no path is given: the plugins release what is on the host, and
// interfaces end with the namespace.
func (n *Networks) again(ctx context.Context, id string) error {
	n.counter.retried()
	if err := n.teardown(ctx, id, ""); err != nil {
		return err
	}
	n.records.unmark(id) // somebody may have marked it too late
	return nil
}

// Check implements Attacher.
func (n *Networks) Check(ctx context.Context, id, netns string) error {
	began := time.Now()
	err := n.check(ctx, id, netns)
	n.counter.count(&n.counter.metrics.Check, began, err)
	return err
}

func (n *Networks) check(ctx context.Context, id, netns string) error {
	ctx, cancel := context.WithTimeout(ctx, n.config.Timeout)
	defer cancel()
	unlock, err := n.locks.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	r, err := n.records.read(id)
	if err != nil {
		return err
	}
	networks, err := r.networks()
	if err != nil {
		return err
	}
	return n.checkAll(ctx, r, networks, netns)
}

func (n *Networks) checkAll(ctx context.Context, r *record, networks []*network, netns string) error {
	checked := 0
	for _, net := range networks {
		err := n.cni.CheckNetworkList(ctx, net.list, r.runtimeConf(net.ifName, netns))
		if errors.Is(err, libcni.ErrorCheckNotSupp) {
			continue
		}
		if err != nil {
			return fmt.Errorf("network of pod sandbox %s: %w", r.ID, classify(net, err))
		}
		checked++
	}
	if checked == 0 {
		return fmt.Errorf("network of pod sandbox %s: CHECK is not in CNI before 0.4.0: %w", r.ID, errdefs.ErrNotImplemented)
	}
	return nil
}
