// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// facts are what does not change about an image: it follows from the digest of its manifest.
type facts struct {
	id      digest.Digest // of the config
	chain   digest.Digest // of the layers; "" without layers
	size    int64
	config  ocispec.Image
	handler string // the runtime handler whose platform this is, "" for the node's own
}

// describe reads the images that an index or manifest stands for, on the platforms that are
// configured and as far as they are in the content store. The first is preferred.
// ErrNotFound when there is none.
func (i *Images) describe(ctx context.Context, desc ocispec.Descriptor) ([]facts, error) {
	var found []facts
	var first error
	for _, t := range i.settings.targets {
		f, err := i.describeTarget(ctx, desc, t)
		switch {
		case err != nil && first == nil:
			first = err
		case err == nil && !contains(found, f.id):
			found = append(found, f)
		}
	}
	if len(found) == 0 {
		return nil, first
	}
	return found, nil
}

func contains(list []facts, id digest.Digest) bool {
	for _, f := range list {
		if f.id == id {
			return true
		}
	}
	return false
}

func (i *Images) describeTarget(ctx context.Context, desc ocispec.Descriptor, t target) (facts, error) {
	var config ocispec.Descriptor
	var layers []ocispec.Descriptor
	var size int64
	children := images.LimitManifests(images.FilterPlatforms(images.ChildrenHandler(i.content), t.matcher), t.matcher, 1)
	visit := func(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		size += max(d.Size, 0)
		switch {
		case images.IsLayerType(d.MediaType):
			layers = append(layers, d)
		case images.IsConfigType(d.MediaType):
			config = d
		case images.IsIndexType(d.MediaType), images.IsManifestType(d.MediaType):
			return children(ctx, d)
		}
		return nil, nil
	}
	if err := images.Walk(ctx, images.HandlerFunc(visit), desc); err != nil {
		return facts{}, err
	}
	if config.Digest == "" {
		return facts{}, fmt.Errorf("manifest %s is not of a container image: %w", desc.Digest, errdefs.ErrNotFound)
	}
	f, err := i.readConfig(ctx, config)
	if err != nil {
		return facts{}, err
	}
	f.size, f.handler = size, t.handler
	return f, i.complete(ctx, f, layers)
}

func (i *Images) readConfig(ctx context.Context, desc ocispec.Descriptor) (facts, error) {
	blob, err := content.ReadBlob(ctx, i.content, desc)
	if err != nil {
		return facts{}, fmt.Errorf("image config: %w", err)
	}
	f := facts{id: desc.Digest}
	if err := json.Unmarshal(blob, &f.config); err != nil {
		return facts{}, fmt.Errorf("image config %s: %w: %w", desc.Digest, err, errdefs.ErrInvalidArgument)
	}
	for _, d := range f.config.RootFS.DiffIDs {
		if err := d.Validate(); err != nil {
			return facts{}, fmt.Errorf("image config %s: layer %q: %w: %w", desc.Digest, d, err, errdefs.ErrInvalidArgument)
		}
	}
	f.chain = identity.ChainID(f.config.RootFS.DiffIDs)
	return f, nil
}

// complete makes sure that the image can be used: by its layers, or where they were
// discarded by its snapshot. What others have fetched only in part is no image yet.
func (i *Images) complete(ctx context.Context, f facts, layers []ocispec.Descriptor) error {
	for _, l := range layers {
		_, err := i.content.Info(ctx, l.Digest)
		if errdefs.IsNotFound(err) {
			return i.unpacked(ctx, f)
		}
		if err != nil {
			return fmt.Errorf("image layer: %w", err)
		}
	}
	return nil
}

func (i *Images) unpacked(ctx context.Context, f facts) error {
	var last error
	for _, name := range i.settings.snapshotterNames() {
		sn, err := i.snapshotter(name)
		if err != nil {
			return err
		}
		if _, err = sn.Stat(ctx, f.chain.String()); err == nil {
			return nil
		}
		last = err
	}
	return fmt.Errorf("image %s has neither all layers nor a snapshot: %w", f.id, last)
}
