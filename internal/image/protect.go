// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"fmt"
	"strings"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A view and its lease are both named after snapshotter and chain id, so that they are found,
// and recognized by people, without a record of ours.
const (
	viewPrefix       = "sardine-view-"
	labelSnapshotter = "sardine.run/view.snapshotter"
	labelChain       = "sardine.run/view.chain"
	leaseFilter      = `labels."` + labelSnapshotter + `"`
)

func (k layersKey) name() string {
	return viewPrefix + k.snapshotter + "-" + strings.ReplaceAll(orDefault(k.chain.String(), "empty"), ":", "-")
}

func (k layersKey) lease() leases.Lease { return leases.Lease{ID: k.name()} }

func (k layersKey) view() leases.Resource {
	return leases.Resource{ID: k.name(), Type: "snapshots/" + k.snapshotter}
}

func keyOf(l leases.Lease) (layersKey, bool) {
	key := layersKey{snapshotter: l.Labels[labelSnapshotter], chain: digest.Digest(l.Labels[labelChain])}
	return key, key.name() == l.ID
}

// protect makes sure that the layers of img are unpacked and cannot be collected, and returns
// how to mount them. It writes only what is missing.
func (i *Images) protect(ctx context.Context, key layersKey, img *Image) (shape, error) {
	sn, err := i.snapshotter(key.snapshotter)
	if err != nil {
		return shape{}, err
	}
	held, err := i.held(ctx, key)
	if err != nil {
		return shape{}, err
	}
	if held[key.view()] {
		mounts, err := sn.Mounts(ctx, key.name())
		if err == nil {
			return shapeOf(mounts, key.snapshotter)
		}
		if !errdefs.IsNotFound(err) {
			return shape{}, fmt.Errorf("view of the layers: %w", err)
		}
	}
	if err := i.unpack(ctx, sn, key, img); err != nil {
		return shape{}, err
	}
	return i.makeView(ctx, sn, key)
}

// held are the resources of a lease, nil when there is no lease.
func (i *Images) held(ctx context.Context, key layersKey) (map[leases.Resource]bool, error) {
	list, err := i.leases.ListResources(ctx, key.lease())
	if err != nil && !errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("lease of the layers: %w", err)
	}
	held := make(map[leases.Resource]bool, len(list))
	for _, r := range list {
		held[r] = true
	}
	return held, nil
}

func (i *Images) makeView(ctx context.Context, sn snapshots.Snapshotter, key layersKey) (shape, error) {
	labels := map[string]string{labelSnapshotter: key.snapshotter, labelChain: key.chain.String()}
	_, err := i.leases.Create(ctx, leases.WithID(key.name()), leases.WithLabels(labels))
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return shape{}, fmt.Errorf("lease of the layers: %w", err)
	}
	mounts, err := sn.View(leases.WithLease(ctx, key.name()), key.name(), key.chain.String())
	if errdefs.IsAlreadyExists(err) { // without a lease, and not collected yet
		if err = i.leases.AddResource(ctx, key.lease(), key.view()); err == nil {
			mounts, err = sn.Mounts(ctx, key.name())
		}
	}
	if err != nil {
		return shape{}, fmt.Errorf("view of the layers: %w", err)
	}
	s, err := shapeOf(mounts, key.snapshotter)
	if err != nil {
		_ = i.unprotect(ctx, key) // of no use to us, and at worst left until the next start
	}
	return s, err
}

// protectConfig keeps the config of an image with its layers: containers of an image without
// names are still described by it after a restart.
func (i *Images) protectConfig(ctx context.Context, key layersKey, id string) error {
	held, err := i.held(ctx, key)
	config := leases.Resource{ID: id, Type: "content"}
	if err != nil || held[config] {
		return err
	}
	if err := i.leases.AddResource(ctx, key.lease(), config); err != nil {
		return fmt.Errorf("lease of the image's config: %w", err)
	}
	return nil
}

// protectedConfigs are the images whose configs are kept.
func (i *Images) protectedConfigs(ctx context.Context, key layersKey) ([]*Image, error) {
	held, err := i.held(ctx, key)
	if err != nil {
		return nil, err
	}
	var list []*Image
	for r := range held {
		if r.Type != "content" {
			continue
		}
		if img, err := i.index.byID(r.ID); err == nil && img != nil {
			list = append(list, withoutNames(img))
			continue
		}
		info, err := i.content.Info(ctx, digest.Digest(r.ID))
		if err != nil {
			continue // nothing is lost but the id
		}
		if f, err := i.readConfig(ctx, ocispec.Descriptor{Digest: info.Digest, Size: info.Size}); err == nil {
			list = append(list, f.image())
		}
	}
	return list, nil
}

// unprotect drops the lease, and with it by garbage collection the view and the layers that nothing else
// needs.
func (i *Images) unprotect(ctx context.Context, key layersKey) error {
	err := i.leases.Delete(ctx, key.lease(), leases.SynchronousDelete)
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("lease of the layers: %w", err)
	}
	return nil
}

// unpack applies the layers that the snapshotter does not have, of images that others brought.
func (i *Images) unpack(ctx context.Context, sn snapshots.Snapshotter, key layersKey, img *Image) error {
	if key.chain == "" {
		return nil
	}
	if _, err := sn.Stat(ctx, key.chain.String()); err == nil || !errdefs.IsNotFound(err) {
		return err
	}
	for _, name := range i.index.namesOf(digest.Digest(img.ID)) {
		record, err := i.store.Get(ctx, name)
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("image %s: %w", name, err)
		}
		return i.unpackRecord(ctx, record, key, img)
	}
	return fmt.Errorf("image %s has no name any more, and its layers are gone: %w", img.ID, errdefs.ErrNotFound)
}

func (i *Images) unpackRecord(ctx context.Context, record images.Image, key layersKey, img *Image) error {
	matcher := i.settings.target(img.RuntimeHandler).matcher
	err := containerd.NewImageWithPlatform(i.client, record, matcher).Unpack(ctx, key.snapshotter, i.unpackOptions()...)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	return nil
}
