// SPDX-License-Identifier: Apache-2.0

package podstats

import (
	"slices"
	"time"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	// layerAge is how old the size of a writable layer may be. The kubelet asks every 10 s, or less often.
	layerAge = 10 * time.Second
	// layerBudget is how long one report may walk through writable layers, all of them
	// together. A million files take about ten reports, until when the sum of the last complete
	// walk is reported.
	layerBudget = 200 * time.Millisecond
)

// layer is what is known of a writable layer.
type layer struct {
	walk *walk // in progress, nil if none
	done time.Time
	sum  sum // of the last complete walk
}

// sum of files.
type sum struct {
	bytes, inodes uint64
}

// measure continues the walk until deadline, if the last one is too old.
func (l *layer) measure(dir string, now, deadline time.Time) {
	if now.After(deadline) {
		return
	}
	if l.walk == nil {
		if now.Sub(l.done) < layerAge {
			return
		}
		l.walk = newWalk(dir)
	}
	if l.walk.run(deadline) {
		l.sum, l.done, l.walk = l.walk.sum, now, nil
	}
}

// best is the last complete sum, or what the walk in progress has found if that is more.
func (l *layer) best() sum {
	if l.walk != nil && l.walk.sum.bytes > l.sum.bytes {
		return l.walk.sum
	}
	return l.sum
}

// layerUsage of a container, nil when it has no writable layer.
func layerUsage(c *Container, deadline time.Time) *runtime.FilesystemUsage {
	if c.Layer == "" {
		return nil
	}
	c.History.mu.Lock()
	defer c.History.mu.Unlock()
	now := time.Now()
	c.History.layer.measure(c.Layer, now, deadline)
	s, at := c.History.layer.best(), c.History.layer.done
	if at.IsZero() {
		at = now
	}
	return &runtime.FilesystemUsage{
		Timestamp:  at.UnixNano(),
		FsId:       &runtime.FilesystemIdentifier{Mountpoint: c.LayerMount},
		UsedBytes:  value(s.bytes),
		InodesUsed: value(s.inodes),
	}
}

// walkOldestFirst spends the budget where it was not enough the last time.
func walkOldestFirst(containers []*Container, deadline time.Time) {
	type turn struct {
		c    *Container
		done time.Time
	}
	turns := make([]turn, 0, len(containers))
	for _, c := range containers {
		if c.Layer != "" {
			c.History.mu.Lock()
			turns = append(turns, turn{c, c.History.layer.done})
			c.History.mu.Unlock()
		}
	}
	slices.SortStableFunc(turns, func(a, b turn) int { return a.done.Compare(b.done) })
	for _, t := range turns {
		t.c.History.mu.Lock()
		t.c.History.layer.measure(t.c.Layer, time.Now(), deadline)
		t.c.History.mu.Unlock()
	}
}
