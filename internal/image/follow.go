// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"
	"time"

	eventtypes "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/go-digest"
)

const (
	imageEvents = "namespace==" + Namespace + `,topic~="^/images/"`
	retryDelay  = time.Second
)

// follow keeps the index true until i is closed: it reads everything, and then what events name.
func (i *Images) follow() {
	first := true
	for {
		err := i.followOnce(&first)
		if i.ctx.Err() != nil {
			return
		}
		log.G(i.ctx).WithError(err).Warn("following containerd's images; all are read anew")
		select {
		case <-time.After(retryDelay):
		case <-i.ctx.Done():
			return
		}
	}
}

// followOnce subscribes before it reads, so that nothing is missed.
func (i *Images) followOnce(first *bool) error {
	ctx, cancel := context.WithCancel(i.ctx)
	defer cancel()
	envelopes, errs := i.events.Subscribe(ctx, imageEvents)
	err := i.load(ctx)
	i.failed.Store(nil)
	if err != nil {
		i.failed.Store(&err)
	}
	if *first {
		*first = false
		close(i.ready)
	}
	if err != nil {
		return err
	}
	for {
		select {
		case e := <-envelopes:
			i.handle(ctx, e)
		case err := <-errs:
			return fmt.Errorf("events: %w", err)
		}
	}
}

// load reads all images, and the views that an earlier daemon left.
func (i *Images) load(ctx context.Context) error {
	list, err := i.store.List(ctx)
	if err != nil {
		return fmt.Errorf("read the node's images: %w", err)
	}
	there := make(map[string]struct{}, len(list))
	for _, record := range list {
		there[record.Name] = struct{}{}
		i.refreshes.Lock()
		err := i.remember(ctx, record, false)
		i.refreshes.Unlock()
		if err != nil {
			return err
		}
	}
	for _, key := range i.index.allNames() {
		if _, ok := there[key]; !ok {
			i.collect(i.index.drop(key))
		}
	}
	if err := i.views.load(ctx); err != nil {
		return err
	}
	i.background(func() { i.adoptAll(list) })
	return nil
}

func (i *Images) handle(ctx context.Context, e *events.Envelope) {
	event, err := typeurl.UnmarshalAny(e.Event)
	if err != nil {
		log.G(ctx).WithError(err).Warnf("event %s", e.Topic)
		return
	}
	var key string
	switch event := event.(type) {
	case *eventtypes.ImageCreate:
		key = event.GetName()
	case *eventtypes.ImageUpdate:
		key = event.GetName()
	case *eventtypes.ImageDelete:
		key = event.GetName()
	default:
		return
	}
	record, err := i.refresh(ctx, key, false)
	if err == nil && record != nil {
		err = i.adopt(ctx, *record)
	}
	if err != nil {
		log.G(ctx).WithError(err).WithField("image", key).Warn("read an image that another client changed")
	}
}

// refresh reads a name anew and returns its record, nil when it is gone. again is to look
// whether the content store has more of it than before: another platform.
func (i *Images) refresh(ctx context.Context, key string, again bool) (*images.Image, error) {
	i.refreshes.Lock()
	defer i.refreshes.Unlock()
	record, err := i.store.Get(ctx, key)
	if errdefs.IsNotFound(err) {
		i.collect(i.index.drop(key))
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", key, err)
	}
	return &record, i.remember(ctx, record, again)
}

// remember puts a record of the image store into the index. What is not an image for
// this node, or not all there, is left out. Call it with refreshes held.
func (i *Images) remember(ctx context.Context, record images.Image, again bool) error {
	found, ok := i.index.known(record.Target.Digest)
	if !ok || again {
		var err error
		found, err = i.describe(ctx, record.Target)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			log.G(ctx).WithError(err).WithField("image", record.Name).Debug("not an image for this node")
			i.collect(i.index.drop(record.Name))
			return nil
		}
	}
	pinned := record.Labels[labelPinned] == pinnedValue
	i.collect(i.index.set(record.Name, record.Target.Digest, pinned, found))
	return nil
}

// collect drops the views of layers that no image has any more, unless they are used.
func (i *Images) collect(chains []digest.Digest) {
	for _, chain := range chains {
		i.views.abandon(chain)
	}
}
