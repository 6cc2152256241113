// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"
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
// writable layers of containers, which count as empty before they were measured once.
type Usage struct {
	Images     []DiskUsage
	Containers []DiskUsage
}

// usage is what snapshots and writable layers take. The two are remembered apart: a kubelet acts on the disk space that is left only if
// the time of the images is later than the last one it saw, so that must not wait for a walk over everything that containers wrote.
type usage struct {
	images *Images
	names  []string // of snapshotters
	roots  map[string]string
	dirs   []string
	age    time.Duration
	walks  *walks

	busy  chan struct{} // has room for who adds up, and guards what follows
	fixed map[string]snapshots.Usage
	last  []DiskUsage
	until time.Time
}

func newUsage(i *Images, deps Deps) *usage {
	u := &usage{
		images: i, names: i.settings.snapshotterNames(), roots: deps.Roots, dirs: deps.Layers,
		age: time.Duration(i.settings.StatsCollectPeriod) * time.Second, busy: make(chan struct{}, 1),
	}
	u.walks = &walks{age: u.age, background: i.background, measure: u.walk, last: unmeasured(u.dirs)}
	return u
}

// Usage measures the use of disk space by the snapshots of images, from the snapshotter's
// records, and of the directories of writable layers, by walking them in the background. The records are read
// again after stats_collect_period, the directories not before twenty times what the last
// walk took; who asks while a walk is under way is told what the one before found.
func (i *Images) Usage(ctx context.Context) (Usage, error) {
	ctx, cancel := i.scoped(ctx)
	defer cancel()
	found := i.usage.walks.latest(ctx)
	all, err := i.usage.recorded(ctx, found.active)
	if err != nil {
		return Usage{}, fmt.Errorf("disk use of images: %w", err)
	}
	return Usage{Images: all, Containers: found.dirs}, nil
}

// recorded adds up the snapshots by snapshotter. The use of active ones is given.
func (u *usage) recorded(ctx context.Context, active map[string]snapshots.Usage) ([]DiskUsage, error) {
	select {
	case u.busy <- struct{}{}:
		defer func() { <-u.busy }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if time.Now().Before(u.until) {
		return u.last, nil
	}
	all := make([]DiskUsage, 0, len(u.names))
	fixed := make(map[string]snapshots.Usage, len(u.fixed))
	for _, name := range u.names {
		d, err := u.snapshots(ctx, name, active, fixed)
		if err != nil {
			return nil, fmt.Errorf("snapshotter %s: %w", name, err)
		}
		all = append(all, d)
	}
	u.fixed, u.last, u.until = fixed, all, time.Now().Add(u.age)
	return all, nil
}

// snapshots adds up the snapshots of one snapshotter. What a committed one takes never
// changes and is remembered in fixed.
func (u *usage) snapshots(ctx context.Context, name string, active, fixed map[string]snapshots.Usage) (DiskUsage, error) {
	sn, err := u.images.snapshotter(name)
	if err != nil {
		return DiskUsage{}, err
	}
	sum := DiskUsage{Dir: u.roots[name], Time: time.Now()}
	err = sn.Walk(ctx, func(ctx context.Context, info snapshots.Info) error {
		key := name + "/" + info.Name
		usage := active[key]
		if info.Kind == snapshots.KindCommitted {
			if usage, err = u.committed(ctx, sn, key, info.Name); errdefs.IsNotFound(err) {
				return nil
			} else if err != nil {
				return fmt.Errorf("snapshot %s: %w", info.Name, err)
			}
			fixed[key] = usage
		}
		sum.Bytes += usage.Size
		sum.Inodes += usage.Inodes
		return nil
	})
	return sum, err
}

func (u *usage) committed(ctx context.Context, sn snapshots.Snapshotter, key, name string) (snapshots.Usage, error) {
	if usage, ok := u.fixed[key]; ok {
		return usage, nil
	}
	return sn.Usage(ctx, name)
}
