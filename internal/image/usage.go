// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
)

// DiskUsage is what a directory takes on disk.
type DiskUsage struct {
	Dir    string
	Bytes  int64
	Inodes int64
	Time   time.Time // when it was measured
}

// Usage is the disk use of images, by snapshotter with the default one first, and of the
// writable layers of containers.
type Usage struct {
	Images     []DiskUsage
	Containers []DiskUsage
}

// idleness bounds what measuring costs: after it took a second, the answer is good for twenty.
const idleness = 20

// usage measures when asked, and not again before an age that grows with what it cost.
type usage struct {
	images *Images
	names  []string // of snapshotters
	roots  map[string]string
	dirs   []string
	age    time.Duration

	busy  chan struct{} // has room for who measures, and guards fixed
	fixed map[string]snapshots.Usage

	mu    sync.Mutex
	last  Usage
	until time.Time // zero before the first measurement
}

func newUsage(i *Images, deps Deps) *usage {
	return &usage{
		images: i, names: i.settings.snapshotterNames(), roots: deps.Roots, dirs: deps.Layers,
		age: time.Duration(i.settings.StatsCollectPeriod) * time.Second, busy: make(chan struct{}, 1),
	}
}

// Usage measures the use of disk space by the snapshots of images, from the snapshotter's
// records, and of the directories of writable layers, by walking them. It answers from
// memory for stats_collect_period, for twenty times what measuring took, and while another
// caller measures.
func (i *Images) Usage(ctx context.Context) (Usage, error) {
	ctx, cancel := i.scoped(ctx)
	defer cancel()
	usage, err := i.usage.get(ctx)
	if err != nil {
		return Usage{}, fmt.Errorf("disk use of images: %w", err)
	}
	return usage, nil
}

func (u *usage) get(ctx context.Context) (Usage, error) {
	if last, until := u.remembered(); time.Now().Before(until) || !until.IsZero() && len(u.busy) > 0 {
		return last, nil
	}
	select {
	case u.busy <- struct{}{}:
		defer func() { <-u.busy }()
	case <-ctx.Done():
		return Usage{}, context.Cause(ctx)
	}
	begin := time.Now()
	if last, until := u.remembered(); begin.Before(until) {
		return last, nil
	}
	last, err := u.measure(ctx)
	if err != nil {
		return Usage{}, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.last, u.until = last, time.Now().Add(max(u.age, idleness*time.Since(begin)))
	return last, nil
}

func (u *usage) remembered() (Usage, time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.last, u.until
}

func (u *usage) measure(ctx context.Context) (Usage, error) {
	var all Usage
	fixed := make(map[string]snapshots.Usage, len(u.fixed))
	for _, name := range u.names {
		d, err := u.snapshots(ctx, name, fixed)
		if err != nil {
			return Usage{}, fmt.Errorf("snapshotter %s: %w", name, err)
		}
		all.Images = append(all.Images, d)
	}
	u.fixed = fixed
	for _, dir := range u.dirs {
		d, err := diskUsage(ctx, dir)
		if err != nil {
			return Usage{}, err
		}
		all.Containers = append(all.Containers, d)
	}
	return all, nil
}

// snapshots adds up the snapshots of one snapshotter. What a committed one takes never
// changes and is remembered in fixed; the others are of containers of other clients.
func (u *usage) snapshots(ctx context.Context, name string, fixed map[string]snapshots.Usage) (DiskUsage, error) {
	sn, err := u.images.snapshotter(name)
	if err != nil {
		return DiskUsage{}, err
	}
	sum := DiskUsage{Dir: u.roots[name], Time: time.Now()}
	err = sn.Walk(ctx, func(ctx context.Context, info snapshots.Info) error {
		if info.Kind == snapshots.KindView {
			return nil
		}
		key := name + "/" + info.Name
		usage, ok := u.fixed[key]
		if !ok {
			if usage, err = sn.Usage(ctx, info.Name); errdefs.IsNotFound(err) {
				return nil
			} else if err != nil {
				return fmt.Errorf("snapshot %s: %w", info.Name, err)
			}
		}
		if info.Kind == snapshots.KindCommitted {
			fixed[key] = usage
		}
		sum.Bytes += usage.Size
		sum.Inodes += usage.Inodes
		return nil
	})
	return sum, err
}
