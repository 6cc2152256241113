// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/log"
)

// walk measures active snapshots and the directories of writable layers. Of what cannot be
// measured now it returns what was known before, with its time.
func (u *usage) walk(before written) written {
	ctx := u.images.ctx
	found := written{active: map[string]snapshots.Usage{}}
	for _, name := range u.names {
		if err := u.active(ctx, name, before.active, found.active); err != nil {
			u.failed(fmt.Errorf("snapshotter %s: %w", name, err))
			keep(found.active, before.active)
		}
	}
	for _, dir := range u.dirs {
		d, err := diskUsage(ctx, dir)
		if err == nil {
			found.dirs = append(found.dirs, d)
			continue
		}
		u.failed(err)
		if i := slices.IndexFunc(before.dirs, func(d DiskUsage) bool { return d.Dir == dir }); i >= 0 {
			found.dirs = append(found.dirs, before.dirs[i])
		}
	}
	return found
}

// active measures the active snapshots of one snapshotter: the snapshotter walks their files.
func (u *usage) active(ctx context.Context, name string, before, found map[string]snapshots.Usage) error {
	sn, err := u.images.snapshotter(name)
	if err != nil {
		return err
	}
	return sn.Walk(ctx, func(ctx context.Context, info snapshots.Info) error {
		if info.Kind != snapshots.KindActive {
			return nil
		}
		key := name + "/" + info.Name
		usage, err := sn.Usage(ctx, info.Name)
		if err != nil { // most likely a file, or all of it, went away meanwhile
			log.G(ctx).WithError(err).Debugf("images: disk use of snapshot %s", key)
			usage = before[key]
		}
		found[key] = usage
		return ctx.Err()
	})
}

// keep adds what was known before and is not known anew. What is gone meanwhile does no harm: nobody asks for it.
func keep(found, before map[string]snapshots.Usage) {
	for key, usage := range before {
		if _, ok := found[key]; !ok {
			found[key] = usage
		}
	}
}

// unmeasured is what is known before the first walk: a kubelet takes an answer without any directory for no answer.
func unmeasured(dirs []string) written {
	var w written
	for _, dir := range dirs {
		w.dirs = append(w.dirs, DiskUsage{Dir: dir, Time: time.Now()})
	}
	return w
}

// failed says that a part of a walk failed, unless that is because it was told to end.
func (u *usage) failed(err error) {
	if u.images.ctx.Err() == nil {
		log.L.WithError(err).Warn("images: disk use of writable layers")
	}
}
