// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Labels of image records, as containerd's CRI sets them: other clients look for them.
const (
	labelManaged = "io.cri-containerd.image"
	managedValue = "managed"
	labelPinned  = "io.cri-containerd.pinned"
	pinnedValue  = "pinned"
)

// labels are those of an image record of that name.
func (s *settings) labels(key string) map[string]string {
	labels := map[string]string{labelManaged: managedValue}
	for _, pinned := range s.PinnedImages {
		if pinned == key {
			labels[labelPinned] = pinnedValue
		}
	}
	return labels
}

// adoptAll adopts what other clients brought while no daemon ran.
func (i *Images) adoptAll(list []images.Image) {
	for _, record := range list {
		if i.ctx.Err() != nil {
			return
		}
		if err := i.adopt(i.ctx, record); err != nil {
			log.G(i.ctx).WithError(err).WithField("image", record.Name).Warn("adopt image")
		}
	}
}

// adopt makes an image of another client one of CRI: its id becomes a name too, so that it
// stays while its tag moves on, and the labels say so. Nothing is written when that is done.
func (i *Images) adopt(ctx context.Context, record images.Image) error {
	labels := i.settings.labels(record.Name)
	done := true
	for key, value := range labels {
		done = done && record.Labels[key] == value
	}
	img := i.index.byName(record.Name, "")
	if done || img == nil {
		return nil
	}
	for _, key := range []string{img.ID, record.Name} {
		if err := i.publish(ctx, key, record.Target, labels); err != nil {
			return fmt.Errorf("adopt: %w", err)
		}
		if _, err := i.refresh(ctx, key, false); err != nil {
			return fmt.Errorf("adopt: %w", err)
		}
	}
	return nil
}

// publish creates or updates an image record. A pin is never taken off: who set it may have
// had reasons.
func (i *Images) publish(ctx context.Context, key string, desc ocispec.Descriptor, labels map[string]string) error {
	record := images.Image{Name: key, Target: desc, Labels: labels}
	for range 3 { // it may come and go meanwhile
		_, err := i.store.Create(ctx, record)
		if !errdefs.IsAlreadyExists(err) {
			return wrapName(key, err)
		}
		old, err := i.store.Get(ctx, key)
		if err == nil {
			fields := changes(old, record)
			if len(fields) == 0 {
				return nil
			}
			_, err = i.store.Update(ctx, record, fields...)
		}
		if !errdefs.IsNotFound(err) {
			return wrapName(key, err)
		}
	}
	return fmt.Errorf("image name %s: removed again and again: %w", key, errdefs.ErrUnavailable)
}

func wrapName(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("image name %s: %w", key, err)
}

// changes are the fields of an update that makes old into record.
func changes(old, record images.Image) []string {
	var fields []string
	if old.Target.Digest != record.Target.Digest {
		fields = append(fields, "target")
	}
	for key, value := range record.Labels {
		if old.Labels[key] != value {
			fields = append(fields, "labels."+key)
		}
	}
	slices.Sort(fields)
	return fields
}
