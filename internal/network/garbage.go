// SPDX-License-Identifier: Apache-2.0

package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
)

const (
	// garbageEvery is after how many pods attached or detached plugins collect garbage.
	garbageEvery = 1000
	// garbageWait is how long collection may keep pods waiting before it begins.
	garbageWait = 5 * time.Second
	// garbageTime bounds the plugins of one network.
	garbageTime = 30 * time.Second
	// garbagePause is before a collection that could not begin is tried again, in multiples of Config.RetryAfter.
	garbagePause = 300
)

// errNoPause says that pods' networks were being made or undone all the time.
var errNoPause = errors.New("garbage collection could not begin, and is tried again")

// garbage has plugins collected for when enough has changed.
type garbage struct {
	changes atomic.Int64
	wanted  chan struct{}
}

func newGarbage() *garbage { return &garbage{wanted: make(chan struct{}, 1)} }

func (g *garbage) want() {
	select {
	case g.wanted <- struct{}{}:
	default:
	}
}

// changed counts a pod attached or detached.
func (n *Networks) changed() {
	if n.garbage.changes.Add(1)%garbageEvery == 0 {
		n.garbage.want()
	}
}

// Keep implements Attacher. What happens is done in the background. Sandboxes that were set up by this
// daemon are kept whether ids has them or not.
func (n *Networks) Keep(ctx context.Context, ids []string) {
	kept := make(map[string]bool, len(ids))
	for _, id := range ids {
		kept[id] = true
	}
	for _, id := range n.inherited {
		if !kept[id] {
			log.G(ctx).WithField("sandbox", id).Info("cni: its sandbox is gone, so it is detached")
			n.retries.addNow(id)
		}
	}
	n.inherited = nil
	n.workers.Go(func() { n.adopt(kept) })
	n.garbage.want()
}

// adopt makes records of what only libcni's cache knows, and has it detached unless it is kept: after a reboot the records
// on tmpfs are gone, but addresses that plugins noted on a disk are still taken.
func (n *Networks) adopt(kept map[string]bool) {
	if !n.strangers() {
		return
	}
	for id := range n.cached("") {
		adopted, err := n.adoptOne(id)
		switch {
		case n.background.Err() != nil:
			return
		case err != nil:
			log.L.WithError(err).WithField("sandbox", id).Warn("cni: a result of an earlier daemon is lost")
		case adopted && !kept[id]:
			log.L.WithField("sandbox", id).Info("cni: its sandbox was there before the node was started anew, so it is detached")
			n.retries.addNow(id)
		}
	}
}

// adoptOne makes a record of what the cache has of a sandbox, unless it has one, or was detached since the cache was read.
func (n *Networks) adoptOne(id string) (adopted bool, err error) {
	if n.records.has(id) { // known, or new
		return false, nil
	}
	unlock, err := n.locks.lock(n.background, id)
	if err != nil {
		return false, err
	}
	defer unlock()
	r := n.cached(id)[id]
	if r == nil {
		return false, nil
	}
	err = n.records.create(r)
	if errdefs.IsAlreadyExists(err) {
		return false, nil
	}
	return err == nil, err
}

// strangers reports whether the cache has results of sandboxes without a record. To read all of them takes a
// while; mostly their names tell enough: NETWORK-SANDBOX-INTERFACE.
func (n *Networks) strangers() bool {
	entries, err := os.ReadDir(filepath.Join(n.config.CacheDir, "results"))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	for _, e := range entries {
		if !n.recorded(strings.Split(e.Name(), "-")) {
			return true
		}
	}
	return false
}

// recorded reports whether some of the middle parts of a name are the id of a sandbox with a record.
func (n *Networks) recorded(parts []string) bool {
	for first := 1; first < len(parts)-1; first++ {
		for last := first + 1; last < len(parts); last++ {
			if n.records.has(strings.Join(parts[first:last], "-")) {
				return true
			}
		}
	}
	return false
}

// cached makes records of what libcni's cache has of a sandbox, of all for "".
func (n *Networks) cached(id string) map[string]*record {
	found := map[string]*record{}
	cached, err := n.cni.GetCachedAttachments(id)
	if err != nil {
		log.L.WithError(err).Warn("cni: results of an earlier daemon cannot be read")
	}
	for _, c := range cached {
		if r, err := recordOf(c, found[c.ContainerID]); err != nil {
			log.L.WithError(err).WithField("sandbox", c.ContainerID).Warn("cni: a result of an earlier daemon is unusable")
		} else {
			found[r.ID] = r
		}
	}
	return found
}

// record returns the record of a sandbox. Of one that cannot be read libcni's cache has the same in other words, if
// plugins have run. ErrNotFound when there is none. The sandbox is locked, or no plugin runs.
func (n *Networks) record(id string) (*record, error) {
	r, err := n.records.read(id)
	if !errdefs.IsDataLoss(err) {
		return r, err
	}
	log.L.WithError(err).Warn("cni: a record is replaced by what the plugins' results tell, if there are any")
	if r := n.cached(id)[id]; r != nil {
		return r, n.records.replace(r)
	}
	return nil, errors.Join(fmt.Errorf("pod sandbox %s has no network: %w", id, errdefs.ErrNotFound), n.records.remove(id))
}

// recordOf makes a record of a cached result, or adds it to the sandbox's.
func recordOf(c *libcni.NetworkAttachment, r *record) (*record, error) {
	if r == nil {
		r = &record{Version: recordVersion, ID: c.ContainerID, Args: c.CniArgs}
		var err error
		if r.Capabilities, err = rawValues(c.CapabilityArgs); err != nil {
			return nil, err
		}
	}
	more := *r
	more.Networks = append(slices.Clone(r.Networks), recordedNetwork{Interface: c.IfName, Config: c.Config})
	slices.SortFunc(more.Networks, func(a, b recordedNetwork) int { return strings.Compare(a.Interface, b.Interface) })
	text, err := json.Marshal(&more)
	if err != nil {
		return nil, err
	}
	return parseRecord(text)
}

// collect runs GC when it is wanted, until ctx ends. When a node starts it is wanted together with all its pods.
func (n *Networks) collect(ctx context.Context) {
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.garbage.wanted:
		case <-again:
		}
		again = nil
		if err := n.collectOnce(ctx); errors.Is(err, errNoPause) {
			again = time.After(garbagePause * n.config.RetryAfter)
		}
	}
}

func (n *Networks) collectOnce(ctx context.Context) error {
	networks := n.collectable()
	if len(networks) == 0 {
		return nil
	}
	began := time.Now()
	err := n.gc(ctx, networks)
	n.counter.count(&n.counter.metrics.GC, began, err)
	if err != nil && ctx.Err() == nil {
		log.G(ctx).WithError(err).Warn("cni: plugins failed to collect garbage")
	}
	return err
}

// collectable are the configured networks that have the verb, by name.
func (n *Networks) collectable() map[string]*network {
	networks := map[string]*network{}
	for _, d := range append(slices.Collect(maps.Values(n.handlers)), n.standard) {
		for _, net := range d.current().networks {
			if ok, err := version.GreaterThanOrEqualTo(net.list.CNIVersion, "1.1.0"); ok && err == nil && !net.list.DisableGC {
				networks[net.list.Name] = net
			}
		}
	}
	return networks
}

// gc tells the plugins of each network which attachments are valid, while none is made or undone.
func (n *Networks) gc(ctx context.Context, networks map[string]*network) error {
	wait, cancel := context.WithTimeout(ctx, garbageWait)
	defer cancel()
	leave, err := n.gate.alone(wait)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoPause, err)
	}
	defer leave()
	valid, err := n.valid()
	if err != nil {
		return err
	}
	// A cache without results: libcni would itself detach what it finds there, in namespaces
	// by paths that may lead elsewhere by now.
	plugins := libcni.NewCNIConfigWithCacheDir(n.config.BinDirs, n.records.dir, n.exec)
	var errs []error
	for name, net := range networks {
		attachments := append([]types.GCAttachment{}, valid[name]...)
		ctx, cancel := context.WithTimeout(ctx, garbageTime)
		errs = append(errs, plugins.GCNetworkList(ctx, net.list, &libcni.GCArgs{ValidAttachments: attachments}))
		cancel()
	}
	return errors.Join(errs...)
}

// valid lists attachments by network: ours, and those that other runtimes have in their caches.
func (n *Networks) valid() (map[string][]types.GCAttachment, error) {
	valid := map[string][]types.GCAttachment{}
	ids, err := n.records.ids()
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if n.retries.has(id) {
			continue
		}
		r, err := n.record(id)
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		networks, err := r.networks()
		if err != nil {
			return nil, err
		}
		for _, net := range networks {
			valid[net.list.Name] = append(valid[net.list.Name], types.GCAttachment{ContainerID: id, IfName: net.ifName})
		}
	}
	return valid, n.validOfOthers(valid)
}

func (n *Networks) validOfOthers(valid map[string][]types.GCAttachment) error {
	for _, dir := range n.config.OtherCaches {
		others, err := libcni.NewCNIConfigWithCacheDir(nil, dir, nil).GetCachedAttachments("")
		if err != nil {
			return err // better no collection than a wrong one
		}
		for _, o := range others {
			valid[o.Network] = append(valid[o.Network], types.GCAttachment{ContainerID: o.ContainerID, IfName: o.IfName})
		}
	}
	return nil
}
